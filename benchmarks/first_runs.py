"""What a newcomer's first runs give: error and wall time of `dhm train` with its defaults.

The embedded digits over three seeds (`make train` is seed 0), and Fashion-MNIST with all of its
60,000 training images, of which a tenth serves for validation. Run on an otherwise idle machine.

    python benchmarks/first_runs.py            # 3 runs of half a minute, 1 of some minutes
    python benchmarks/first_runs.py --table
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean, stdev

RESULTS = Path(__file__).parent / "results" / "first_runs.json"
RUNS = [{"dataset": "digits", "seed": s, "seed_data": s} for s in range(3)] + [
    {"dataset": "fashion-mnist", "seed": 0, "seed_data": 0}
]


def run(options: dict[str, object]) -> dict[str, object]:
    """One run in a process of its own; its seconds include start-up, evaluation and pictures."""
    with tempfile.TemporaryDirectory() as folder:
        flags = [f"--{name}={value}" for name, value in options.items()]
        start = time.perf_counter()
        command = [sys.executable, "-m", "dhm", "train", "-q", "-l", "x", "--run_dir", folder]
        subprocess.run([*command, *flags], check=True)
        seconds = round(time.perf_counter() - start, 1)
        summary = json.loads((Path(folder) / "x" / "summary.json").read_text())
    return {"options": options, "process_seconds": seconds, "summary": summary}


def table(rows: list[dict]) -> str:
    """Markdown, one line a data set."""
    lines = [
        "| data | training images | test error % | test nll | log p(x) | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for dataset in dict.fromkeys(row["options"]["dataset"] for row in rows):
        runs = [row for row in rows if row["options"]["dataset"] == dataset]
        tests = [row["summary"]["test"] for row in runs]
        errors = [100 * test["error"] for test in tests]
        spread = f" ± {stdev(errors):.2f} ({len(errors)} seeds)" if len(errors) > 1 else ""
        seconds = mean(row["process_seconds"] for row in runs)
        lines.append(
            f"| {dataset} | {runs[0]['summary']['n_train']:,} | {mean(errors):.2f}{spread} | "
            f"{mean(test['nll'] for test in tests):.3f} | "
            f"{mean(test['log_likelihood'] for test in tests):.1f} | {seconds:.0f} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", action="store_true", help="print the table only")
    if not parser.parse_args().table:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps([run(options) for options in RUNS], indent=1) + "\n")
    print(table(json.loads(RESULTS.read_text())))
