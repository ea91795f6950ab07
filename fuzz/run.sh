#!/usr/bin/env bash
# Runs every fuzz target for SECONDS seconds, and fails when one of them finds something.
# What it finds lies in fuzz/artifacts/TARGET; the corpora of the repository stay as they are.
set -euo pipefail

if [[ $# -ne 1 || ! $1 =~ ^[1-9][0-9]*$ ]]; then
    echo "usage: $0 SECONDS" >&2
    exit 2
fi
seconds=$1
cd "$(dirname "$0")"

if ! cargo fuzz --version >/dev/null 2>&1; then
    cargo install cargo-fuzz --locked --quiet
fi
# Sanitizers are unstable flags of the compiler; any release of it takes them with this.
export RUSTC_BOOTSTRAP=1
cargo fuzz build --fuzz-dir .

host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p target/logs
failed=()
for target in $(cargo fuzz list --fuzz-dir .); do
    found=target/corpus/$target
    artifacts=artifacts/$target/
    log=target/logs/$target.log
    mkdir -p "$found" "$artifacts"
    options=(-max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -artifact_prefix="$artifacts" -print_final_stats=1)
    if [[ -f dictionaries/$target.dict ]]; then
        options+=(-dict="dictionaries/$target.dict")
    fi
    if "target/$host/release/$target" "${options[@]}" "$found" "corpus/$target" >"$log" 2>&1; then
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
        echo "$target: nothing found in $runs runs"
    else
        failed+=("$target")
        echo "$target: failed, see fuzz/$log"
        grep -v -E '^#[0-9]+\s' "$log" | tail -n 60
    fi
done

if [[ ${#failed[@]} -gt 0 ]]; then
    echo "failed: ${failed[*]}" >&2
    exit 1
fi
