//! Going through a table of steps: what happens when one fails before the point of no return, and after it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

/// How often a step is tried after the point of no return before somebody is asked.
pub const TRIES: u32 = 3;

/// Which side of the point of no return a step is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been changed: a failure boots the old system.
    Before,
    /// The old system is gone: a failure is tried again.
    After,
}

/// What a step does with what all steps share.
pub type Action<C> = Box<dyn Fn(&mut C) -> Result<()>>;

/// A line of the table.
pub struct Step<C> {
    /// Its name.
    pub name: String,
    /// When it runs.
    pub phase: Phase,
    /// What must hold before it, for people.
    pub needs: String,
    /// What it does, for people.
    pub does: String,
    /// What holds after it, for people.
    pub proves: String,
    /// Whether what it needs is there.
    pub ready: Action<C>,
    /// What it does.
    pub act: Action<C>,
    /// Whether it worked.
    pub check: Action<C>,
}

/// What somebody in the rescue shell decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Try the step again.
    Again,
    /// Go on with the next one.
    Skip,
}

/// The machine below the steps.
pub trait Ground {
    /// Says something to people and to the log.
    fn say(&mut self, text: &str);
    /// Does what the command line wants before a step: waits, or gives somebody a shell.
    fn pause(&mut self, step: &str);
    /// Undoes what a failed step may have left: mounts.
    fn tidy(&mut self);
    /// Lets somebody mend it.
    fn rescue(&mut self, step: &str, why: &str) -> Decision;
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// All steps are done.
    Done,
    /// A step before the point of no return failed; nothing was changed.
    Stopped {
        /// Its name.
        step: String,
        /// Why.
        why: String,
    },
}

/// Goes through the steps.
pub fn drive<C: Ground>(steps: &[Step<C>], ground: &mut C) -> End {
    for (nth, step) in steps.iter().enumerate() {
        ground.pause(&step.name);
        if step.phase == Phase::After && (nth == 0 || steps[nth - 1].phase == Phase::Before) {
            ground.say("From here on the old system is gone; do not switch the machine off.");
        }
        ground.say(&format!("step {}/{} {}: {}", nth + 1, steps.len(), step.name, step.does));
        let begun = Instant::now();
        match step.phase {
            Phase::Before => {
                if let Err(e) = once(step, ground) {
                    return End::Stopped { step: step.name.clone(), why: format!("{e:#}") };
                }
            }
            Phase::After => insist(step, ground),
        }
        ground.say(&format!("step {} took {}", step.name, seconds(begun.elapsed())));
    }
    End::Done
}

/// A step after the point of no return: it is tried until it works or somebody says to go on.
fn insist<C: Ground>(step: &Step<C>, ground: &mut C) {
    loop {
        let mut why = String::new();
        for nth in 1..=TRIES {
            match once(step, ground) {
                Ok(()) => return,
                Err(e) => why = format!("{e:#}"),
            }
            ground.say(&format!("step {} failed (try {nth} of {TRIES}): {why}", step.name));
            ground.tidy();
        }
        if ground.rescue(&step.name, &why) == Decision::Skip {
            return ground.say(&format!("step {} is left out, as somebody at the console wants", step.name));
        }
    }
}

/// A step's need, action and check. A fault of this program must not end it: what called it would reboot the machine.
fn once<C: Ground>(step: &Step<C>, ground: &mut C) -> Result<()> {
    let all = AssertUnwindSafe(|| [&step.ready, &step.act, &step.check].into_iter().try_for_each(|part| part(ground)));
    catch_unwind(all).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
        Err(anyhow!("this is a fault of upgrade-tiny: {}", text.unwrap_or("it panicked")))
    })
}

/// A duration for people: `4.2 s`, `3 min 5 s`.
#[must_use]
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        whole @ 120.. => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{:.1} s", duration.as_secs_f64()),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::bail;

    use super::*;

    /// Writes down what happens; the step `bad` fails as often as it says.
    #[derive(Default)]
    struct Paper {
        lines: Vec<String>,
        failures: u32,
        decisions: Vec<Decision>,
    }

    impl Ground for Paper {
        fn say(&mut self, text: &str) {
            if text.contains("failed") || text.contains("gone") {
                self.lines.push(text.to_owned());
            }
        }
        fn pause(&mut self, step: &str) {
            self.lines.push(format!("before {step}"));
        }
        fn tidy(&mut self) {
            self.lines.push("tidy".into());
        }
        fn rescue(&mut self, step: &str, _: &str) -> Decision {
            self.lines.push(format!("rescue at {step}"));
            self.decisions.pop().unwrap_or(Decision::Skip)
        }
    }

    fn step(name: &str, phase: Phase) -> Step<Paper> {
        let own = name.to_owned();
        let act = move |paper: &mut Paper| {
            paper.lines.push(format!("do {own}"));
            if own == "bad" && paper.failures > 0 {
                paper.failures -= 1;
                bail!("no luck");
            }
            assert!(own != "panic", "a fault");
            Ok(())
        };
        let text = String::new;
        let nothing = || Box::new(|_: &mut Paper| Ok(())) as Action<Paper>;
        let (ready, check) = (nothing(), nothing());
        Step { name: name.into(), phase, needs: text(), does: text(), proves: text(), ready, act: Box::new(act), check }
    }

    #[test]
    fn a_failure_before_the_wipe_stops_at_once() {
        let steps = [step("bad", Phase::Before), step("wipe", Phase::After)];
        let mut paper = Paper { failures: 1, ..Paper::default() };
        assert_eq!(drive(&steps, &mut paper), End::Stopped { step: "bad".into(), why: "no luck".into() });
        assert_eq!(paper.lines, ["before bad", "do bad"]);
    }

    #[test]
    fn a_failure_after_the_wipe_is_tried_again_with_a_tidy_ground() {
        let steps = [step("find", Phase::Before), step("bad", Phase::After), step("log", Phase::After)];
        let mut paper = Paper { failures: 2, ..Paper::default() };
        assert_eq!(drive(&steps, &mut paper), End::Done);
        let expected = [
            "before find",
            "do find",
            "before bad",
            "From here on the old system is gone; do not switch the machine off.",
            "do bad",
            "step bad failed (try 1 of 3): no luck",
            "tidy",
            "do bad",
            "step bad failed (try 2 of 3): no luck",
            "tidy",
            "do bad",
            "before log",
            "do log",
        ];
        assert_eq!(paper.lines, expected);
    }

    #[test]
    fn after_three_failures_somebody_is_asked() {
        let steps = [step("bad", Phase::After), step("log", Phase::After)];
        let mut paper = Paper { failures: 6, decisions: vec![Decision::Skip, Decision::Again], ..Paper::default() };
        assert_eq!(drive(&steps, &mut paper), End::Done);
        assert_eq!(paper.lines.iter().filter(|l| *l == "rescue at bad").count(), 2);
        assert_eq!(paper.lines.iter().filter(|l| *l == "do bad").count(), 6);
        assert_eq!(paper.lines.last().unwrap(), "do log");
    }

    #[test]
    fn faults_of_the_program_are_failures_of_the_step() {
        let end = drive(&[step("panic", Phase::Before)], &mut Paper::default());
        let End::Stopped { why, .. } = end else { panic!("{end:?}") };
        assert!(why.contains("a fault of upgrade-tiny: a fault"), "{why}");
        assert_eq!(seconds(Duration::from_millis(1240)), "1.2 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 5 s");
    }
}
