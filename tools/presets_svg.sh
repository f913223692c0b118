#!/usr/bin/env bash
# Curves of several runs as one SVG: a panel each, the other runs in grey behind, one scale; at the top
# right the means of the first and the last quarter of the steps.
#
#   tools/presets_svg.sh <LINES >FILE.svg          a line: name, then one share (0 to 1) per step
set -euo pipefail
awk '
{ name[NR] = $1; n[NR] = NF - 1
  for (i = 2; i <= NF; i++) { v[NR, i - 1] = $i; if ($i > top) top = $i }
  if (NF - 1 > last) last = NF - 1 }
function x(i) { return 34 + (last > 1 ? (i - 1) * 176 / (last - 1) : 0) }
function y(s) { return 110 - s * 84 / top }
function mean(k, from, to,   i, s) {
    for (i = from; i <= to; i++) s += v[k, i]
    return s / (to - from + 1)
}
function curve(k, style,   i, d) {
    for (i = 1; i <= n[k]; i++) d = d (i > 1 ? " " : "") sprintf("%.1f,%.1f", x(i), y(v[k, i]))
    printf "<polyline fill=\"none\" stroke-linejoin=\"round\" %s points=\"%s\"/>\n", style, d
}
END {
    top = top > 0 ? (int(top * 10) + 1) / 10 : 1
    cols = 4; rows = int((NR + cols - 1) / cols)
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\"", \
        cols * 224 + 8, rows * 140 + 8, cols * 224 + 8, rows * 140 + 8
    print " font-family=\"sans-serif\" font-size=\"10\">"
    print "<title>Share of right completions by step, one panel per preset</title>"
    print "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"
    for (k = 1; k <= NR; k++) {
        printf "<g transform=\"translate(%d %d)\">\n", (k - 1) % cols * 224 + 4, int((k - 1) / cols) * 140 + 4
        for (s = 0; s <= top * 10 + 0.5; s += top > 0.5 ? 2 : 1)
            printf "<path d=\"M34 %.1fH210\" stroke=\"#e3e6ea\"/><text x=\"30\" y=\"%.1f\" text-anchor=\"end\" fill=\"#667\">%d%%</text>\n", \
                y(s / 10), y(s / 10) + 3, s * 10
        for (j = 1; j <= NR; j++) if (j != k) curve(j, "stroke=\"#c9ced6\" stroke-width=\"1\"")
        curve(k, "stroke=\"#1f5fbf\" stroke-width=\"2\"")
        printf "<text x=\"34\" y=\"14\" font-size=\"12\" font-weight=\"bold\" fill=\"#223\">%s</text>\n", name[k]
        printf "<text x=\"210\" y=\"14\" text-anchor=\"end\" fill=\"#1f5fbf\">%.0f%% to %.0f%%</text>\n", \
            100 * mean(k, 1, int((n[k] + 3) / 4)), 100 * mean(k, n[k] - int((n[k] + 3) / 4) + 1, n[k])
        printf "<text x=\"34\" y=\"123\" fill=\"#667\">step 1</text><text x=\"210\" y=\"123\" text-anchor=\"end\" fill=\"#667\">%d</text>\n", last
        print "</g>"
    }
    print "</svg>"
}'
