//! `mark-good` and `rollback`: which slot starts from now on.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Refused;
use super::place::Place;
use super::setup;
use super::state::{Start, State};

/// Keeps the running system: it starts from now on. Gives what is to be told.
///
/// # Errors
/// When this is not the running system, or what cannot be written.
pub fn mark_good(place: &Place, start: &Start, marked: &Path) -> Result<String> {
    let state = State::read(place)?;
    state.check_running(start)?;
    let slot = &state.config.slot;
    let mut env = place.env()?;
    let before = env.clone();
    env.set("slots_good", slot);
    env.set(&format!("slots_new_{slot}"), "");
    // What was installed into the other slot since still gets its trial.
    if env.get("slots_next") == Some(slot) {
        env.set("slots_next", "");
    }
    let changed = env != before;
    if changed {
        place.write_env(&env)?;
    }
    // The menu names the good slot too, for a GRUB that cannot read the block.
    setup::write_menu(place, &state.config)?;
    place.settle()?;
    leave(marked)?;
    Ok(if changed {
        format!("slot {slot} is good and starts from now on")
    } else {
        format!("slot {slot} was good already")
    })
}

/// Leaves word for the unit that ends trials.
fn leave(marked: &Path) -> Result<()> {
    let folder = marked.parent().unwrap_or(marked);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(marked, ""))
        .with_context(|| format!("writing {}, which ends the trial", marked.display()))
}

/// Has the other slot start from now on. Gives what is to be told.
///
/// # Errors
/// When the other slot has nothing to go back to.
pub fn rollback(place: &Place, start: &Start) -> Result<String> {
    let state = State::read(place)?;
    state.check_running(start)?;
    let other = state.slot(state.config.other())?;
    let name = &other.name;
    match &other.version {
        None => return Err(Refused::one(format!("slot {name} holds no system to go back to"))),
        Some(version) if other.new => {
            return Err(Refused::one(format!(
                "{} in slot {name} was never marked good: try it with 'image-slots try', which starts it once",
                version.title()
            )));
        }
        Some(_) => {}
    }
    let mut env = place.env()?;
    env.set("slots_good", name);
    env.set("slots_next", "");
    place.write_env(&env)?;
    setup::write_menu(place, &state.config)?;
    place.settle()?;
    Ok(format!("slot {name} starts from now on"))
}

/// Has the other slot start once, as a trial.
///
/// # Errors
/// When it holds no system.
pub fn try_other(place: &Place, start: &Start, seconds: Option<u64>) -> Result<String> {
    let state = State::read(place)?;
    state.check_running(start)?;
    let other = state.slot(state.config.other())?;
    let Some(version) = &other.version else {
        return Err(Refused::one(format!("slot {} holds no system to try", other.name)));
    };
    start_once(place, &other.name, seconds)?;
    Ok(format!("slot {} ({}) starts once at the next boot", other.name, version.title()))
}

/// Writes the block so that a slot starts once.
///
/// # Errors
/// What cannot be written.
pub fn start_once(place: &Place, slot: &str, seconds: Option<u64>) -> Result<()> {
    let mut env = place.env()?;
    env.set("slots_next", slot);
    env.set("slots_timeout", &seconds.map(|s| s.to_string()).unwrap_or_default());
    place.write_env(&env)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::tests::{Machine, two_systems};

    fn env(machine: &Machine, name: &str) -> Option<String> {
        machine.place.env().unwrap().get(name).map(str::to_owned)
    }

    fn on_trial() -> Start {
        Start { slot: Some("back".into()), trial: Some(300), ..Start::default() }
    }

    #[test]
    fn a_trial_is_kept_by_marking_it() {
        let machine = two_systems("back");
        let marked = machine.place.root.join("run/image-slots/marked-good");
        assert_eq!(env(&machine, "slots_good").as_deref(), Some("root"));
        assert!(mark_good(&machine.place, &on_trial(), &marked).unwrap().contains("back is good"));
        assert_eq!(env(&machine, "slots_good").as_deref(), Some("back"));
        assert_eq!(env(&machine, "slots_new_back"), None);
        assert!(machine.menu().contains("set slots_good=back\n"));
        assert!(marked.exists());
        assert!(mark_good(&machine.place, &on_trial(), &marked).unwrap().contains("already"));
    }

    #[test]
    fn marking_again_does_not_cancel_what_is_to_be_tried() {
        let machine = two_systems("root");
        start_once(&machine.place, "back", Some(60)).unwrap();
        let marked = machine.place.root.join("run/image-slots/marked-good");
        mark_good(&machine.place, &Start::default(), &marked).unwrap();
        assert_eq!(env(&machine, "slots_next").as_deref(), Some("back"));
        assert_eq!(env(&machine, "slots_timeout").as_deref(), Some("60"));
    }

    #[test]
    fn only_the_running_system_marks_itself() {
        let machine = two_systems("root");
        let marked = machine.place.root.join("marked");
        assert!(
            mark_good(&machine.place, &on_trial(), &marked).unwrap_err().to_string().contains("started for slot back")
        );
        assert!(!marked.exists());
    }

    #[test]
    fn there_is_a_way_back_to_what_was_good_only() {
        let machine = two_systems("root");
        let refused = rollback(&machine.place, &Start::default()).unwrap_err();
        assert!(
            refused.downcast_ref::<Refused>().is_some() && refused.to_string().contains("never marked good"),
            "{refused}"
        );
        let back = two_systems("back");
        mark_good(&back.place, &on_trial(), &back.place.root.join("marked")).unwrap();
        rollback(&back.place, &on_trial()).unwrap();
        assert_eq!(env(&back, "slots_good").as_deref(), Some("root"));
        fs::remove_file(back.place.slot("root").join("vmlinuz")).unwrap();
        assert!(rollback(&back.place, &on_trial()).unwrap_err().to_string().contains("holds no system"));
    }

    #[test]
    fn what_fell_back_can_be_tried_again() {
        let machine = two_systems("root");
        assert!(try_other(&machine.place, &Start::default(), None).unwrap().contains("starts once"));
        assert_eq!(env(&machine, "slots_next").as_deref(), Some("back"));
        machine.place.clear_slot("back").unwrap();
        assert!(try_other(&machine.place, &Start::default(), None).is_err());
    }
}
