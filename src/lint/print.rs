//! The printed forms of a report.

use serde_json::{Value, json};

use super::check::Severity;
use super::{Finding, Report};

impl Report {
    /// For people: a line for each finding as diskimage-builder's linter prints them, the hint below it, and
    /// the verdict.
    pub fn to_text(&self) -> String {
        let mut text: String = self.findings.iter().map(finding_text).collect();
        text.push_str(if self.has_errors() { "*** FAIL: Some tests failed!" } else { "PASS" });
        text
    }

    /// For programs; keys are only ever added.
    pub fn to_json(&self) -> Value {
        let findings: Vec<_> = self.findings.iter().map(finding_json).collect();
        json!({"findings": findings, "passed": !self.has_errors()})
    }
}

fn finding_text(finding: &Finding) -> String {
    let word = match finding.check.severity() {
        Severity::Error => "ERROR",
        Severity::Warning => "WARNING",
    };
    let hint = finding.fault.hint.as_ref().map(|hint| format!("    hint: {hint}\n")).unwrap_or_default();
    format!("{word}: {} [{}]\n{hint}", finding.fault, finding.check.name())
}

fn finding_json(finding: &Finding) -> Value {
    let place = finding.fault.place.as_ref();
    json!({
        "check": finding.check.name(),
        "severity": finding.check.severity(),
        "file": place.map(|p| &p.file),
        "line": place.and_then(|p| p.line),
        "message": finding.fault.message,
        "hint": finding.fault.hint,
    })
}
