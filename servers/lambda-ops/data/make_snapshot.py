"""Makes runtimes.json, the snapshot of Lambda's runtimes that is compiled into lambda-ops.

    pip download cfn-lint==1.58.0 --no-deps -d wheel
    python3 servers/lambda-ops/data/make_snapshot.py wheel/cfn_lint-*.whl

Dates and successors are cfn-lint's (LmbdRuntimeLifecycle.json, which follows AWS's page). Names and operating
systems are not in that file; the rules and the table below come from AWS's page "Lambda runtimes".
"""

import datetime
import json
import pathlib
import re
import sys
import zipfile

LIFECYCLE = "cfnlint/data/AdditionalSpecs/LmbdRuntimeLifecycle.json"

# Lambda offers .NET 9 only as a container base image: it is no value of `Runtime`.
NOT_MANAGED = {"dotnet9"}

LANGUAGES = {"nodejs": "Node.js", "python": "Python", "java": "Java", "dotnet": ".NET", "dotnetcore": ".NET Core",
             "ruby": "Ruby", "go": "Go", "provided": "OS-only Runtime"}

AL2 = {"nodejs10.x", "nodejs12.x", "nodejs14.x", "nodejs16.x", "nodejs18.x", "python3.8", "python3.9", "python3.10",
       "python3.11", "java8.al2", "java11", "java17", "ruby2.7", "ruby3.2", "dotnetcore3.1", "dotnet6", "provided.al2"}
AL2023 = {"nodejs20.x", "nodejs22.x", "nodejs24.x", "python3.12", "python3.13", "python3.14", "java21", "java25",
          "ruby3.3", "ruby3.4", "ruby4.0", "dotnet8", "dotnet10", "provided.al2023"}


def name(identifier):
    language, version = re.fullmatch(r"([a-z]+)(.*)", identifier).groups()
    version = re.sub(r"\.x$|\.al2(023)?$|-edge$", "", version)
    return f"{LANGUAGES[language]} {version}".strip()


def system(identifier):
    if identifier in AL2023:
        return "Amazon Linux 2023"
    return "Amazon Linux 2" if identifier in AL2 else "Amazon Linux"


def natural(identifier):
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", identifier)]


def runtime(identifier, dates):
    return {
        "name": name(identifier),
        "id": identifier,
        "os": system(identifier),
        "deprecationDate": dates["deprecated"],
        "blockFunctionCreateDate": dates["create-block"],
        "blockFunctionUpdateDate": dates["update-block"],
        "successor": dates["successor"],
    }


def main(wheel):
    version = pathlib.Path(wheel).name.split("-")[1]
    with zipfile.ZipFile(wheel) as files:
        as_of = datetime.date(*files.getinfo(LIFECYCLE).date_time[:3]).isoformat()
        lifecycle = json.loads(files.read(LIFECYCLE))
    managed = sorted(set(lifecycle) - NOT_MANAGED, key=natural)
    runtimes = [runtime(identifier, lifecycle[identifier]) for identifier in managed]
    strangers = {r["successor"] for r in runtimes} - set(managed) - {None}
    assert not strangers, f"successors that are no runtimes: {strangers}"
    snapshot = {"source": f"cfn-lint {version}, LmbdRuntimeLifecycle.json", "asOf": as_of, "runtimes": runtimes}
    target = pathlib.Path(__file__).with_name("runtimes.json")
    target.write_text(json.dumps(snapshot, indent=1) + "\n")


main(sys.argv[1])
