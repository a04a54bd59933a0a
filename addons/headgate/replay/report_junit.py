"""The report as JUnit's XML, for whatever shows the outcome of tests: one test case for each group.

What is loosened fails, what is unknown is skipped, or fails where that was asked for; the rest passes.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from headgate.replay.comparison import FAILING, Kind
from headgate.replay.report import TITLES, Report, line_of, reasons, summary
from headgate.replay.tally import Group, Key


def junit(report: Report) -> bytes:
    root = Element("testsuites")
    suite = SubElement(root, "testsuite", name="headgate flows impact")
    counts = {"tests": 0, "failures": 0, "skipped": 0}
    for kind in Kind:
        for key, group in report.tally.of(kind):
            counts["tests"] += 1
            outcome = _case(suite, report, key, group)
            if outcome:
                counts[outcome] += 1
    if not counts["tests"]:
        counts["tests"] = 1
        SubElement(suite, "testcase", classname="unchanged", name=f"{report.tally.flows:,} flows")
    for name, count in counts.items():
        suite.set(name, str(count))
    suite.set("errors", "0")
    SubElement(suite, "system-out").text = _printable(summary(report))
    indent(root)
    return bytes(tostring(root, encoding="utf-8", xml_declaration=True)) + b"\n"


def _case(suite: Element, report: Report, key: Key, group: Group) -> str | None:
    """Add a test case; under which count it comes besides."""
    name = _printable(f"{key.what} {key.method} {key.host}{key.path} {key.entity} [{key.id}]")
    case = SubElement(suite, "testcase", classname=str(key.kind), name=name)
    told = "\n".join([line_of(report, key, group), *reasons(group)])
    if key.kind in FAILING and not report.is_allowed(key):
        SubElement(case, "failure", message=TITLES[key.kind].lower(), type=str(key.kind)).text = _printable(told)
        return "failures"
    if key.kind is Kind.UNKNOWN and report.fail_on_unknown:
        SubElement(case, "failure", message="unknown", type=str(key.kind)).text = _printable(told)
        return "failures"
    if key.kind is Kind.UNKNOWN:
        SubElement(case, "skipped", message=_printable("; ".join(reasons(group)) or "unknown"))
        return "skipped"
    SubElement(case, "system-out").text = _printable(told)
    return None


def _printable(text: str) -> str:
    """`text` without what XML cannot hold (https://www.w3.org/TR/xml/#charsets)."""
    return "".join(one if one.isprintable() or one == "\n" else "\ufffd" for one in text)
