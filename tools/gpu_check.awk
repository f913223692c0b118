# Figures of gpu-check, one JSON object per line as bench_gpu writes them.
#   mode=table      peers' file, then ours: a table with the ratio to each peer
#   mode=gemm       bench_gemm_cuda's lines into such objects
#   mode=gemm_peer  those of bench/peers/grouped_gemm.py
function text(key,    a) {
    if (!match($0, "\"" key "\":\"[^\"]*\"")) return ""
    a = substr($0, RSTART, RLENGTH)
    sub(/^"[^"]*":"/, "", a)
    sub(/"$/, "", a)
    return a
}
function number(key,    a) {
    if (!match($0, "\"" key "\": ?[-+0-9.eE]+")) return ""
    a = substr($0, RSTART, RLENGTH)
    sub(/^"[^"]*": ?/, "", a)
    return a + 0
}
function numbered(word,    i) {
    for (i = 2; i <= NF; i++)
        if ($i == word) return i
    return 0
}
# the words before the form are the shape's name, two numbers and the form
function gemm_name(form,    i, name) {
    name = $1
    for (i = 2; i < form - 2; i++) name = name " " $i
    return "product " name " " $form
}
function form_at(    i) {
    for (i = 3; i <= NF; i++)
        if ($i == "fwd" || $i == "dx" || $i == "dw") return i
    return 0
}
mode == "gemm" && form_at() && numbered("TFLOP/s") {
    at = numbered("TFLOP/s")
    share = numbered("peak") ? sprintf(",\"share\":%s,\"of\":\"cublasLt 8192^3\"", $(numbered("peak") - 2)) : ""
    lt = numbered("cublasLt") ? sprintf(",\"detail\":\"cublasLt loop %s TFLOP/s\"", $(numbered("cublasLt") + 1)) : ""
    printf "{\"name\":\"%s\",\"value\":%s,\"unit\":\"TFLOP/s\"%s%s}\n", gemm_name(form_at()), $(at - 1), share, lt
}
mode == "gemm_peer" && form_at() && numbered("TFLOP/s") {
    printf "{\"name\":\"%s\",\"value\":%s,\"unit\":\"TFLOP/s\",\"peer\":\"torch._grouped_mm\"}\n", gemm_name(form_at()), $(numbered("TFLOP/s") - 1)
}
mode == "table" && text("peer") != "" && number("value") != "" {
    peers[text("name")] = peers[text("name")] SUBSEP text("peer") SUBSEP number("value")
}
# every part measures the ceilings: the first ones are shown
mode == "table" && text("peer") == "" && number("value") != "" && !shown[text("name")]++ {
    name = text("name")
    share = number("share") == "" ? "" : sprintf("%.3f of %s", number("share"), text("of"))
    line = sprintf("%-46s %11.5g %-9s %-24s", name, number("value"), text("unit"), share)
    n = split(peers[name], p, SUBSEP)
    for (i = 2; i < n; i += 2) {
        # seconds and milliseconds: less is better
        ratio = text("unit") ~ /^(s|ms|us)$/ ? p[i + 1] / number("value") : number("value") / p[i + 1]
        line = line sprintf("  %.2fx %s (%.5g)", ratio, p[i], p[i + 1])
    }
    print line
}
