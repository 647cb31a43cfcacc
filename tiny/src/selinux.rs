//! Whether and how a system's files get SELinux labels.
//!
//! The rules are libselinux's: `/etc/selinux/config` names the mode and the policy (selinux(8), selinux_config(5)), and
//! `/etc/selinux/TYPE/contexts/files/file_contexts` says which file gets which label.

use std::ffi::OsString;
use std::fs;
use std::path::Path;

/// Where a root has the settings.
pub const CONFIG: &str = "/etc/selinux/config";

/// A policy that is in force in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// `targeted`, for example.
    pub name: String,
    /// `enforcing` or `permissive`.
    pub mode: String,
}

impl Policy {
    /// The policy of a root; none if it has none, or if SELinux is disabled there.
    #[must_use]
    pub fn of(root: &Path) -> Option<Self> {
        let text = fs::read_to_string(root.join(&CONFIG[1..])).ok()?;
        Self::parse(&text).filter(|p| root.join(p.contexts().trim_start_matches('/')).is_file())
    }

    /// Reads the settings as libselinux does: the last line counts, blanks around values do not.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let mut values = text.lines().rev().filter_map(|line| line.trim().strip_prefix(key)?.strip_prefix('='));
            values.next().map(|value| value.trim().to_owned())
        };
        let mode = value("SELINUX")?.to_lowercase();
        let name = value("SELINUXTYPE")?;
        let plain = !name.is_empty() && !name.contains('/') && name != "..";
        (plain && ["enforcing", "permissive"].contains(&mode.as_str())).then_some(Self { name, mode })
    }

    /// The file of rules, as a path in the root.
    #[must_use]
    pub fn contexts(&self) -> String {
        format!("/etc/selinux/{}/contexts/files/file_contexts", self.name)
    }

    /// The compiled policy with the highest version number, as a path in the root: setfiles refuses labels that it does
    /// not know.
    #[must_use]
    pub fn compiled(&self, root: &Path) -> Option<String> {
        let dir = format!("/etc/selinux/{}/policy", self.name);
        let entries = fs::read_dir(root.join(&dir[1..])).ok()?;
        let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
        let newest = names.filter_map(|n| n.strip_prefix("policy.")?.parse::<u32>().ok()).max()?;
        Some(format!("{dir}/policy.{newest}"))
    }

    /// What setfiles is told, to label what is shown at `view`, by these rules and with labels that the `compiled` policy
    /// knows. `points` are where file systems are mounted below the view, as paths in it: setfiles does not go into them
    /// by itself. All other paths are ones in the root; setfiles sees that at `base`: `/` in a chroot.
    #[must_use]
    pub fn words(&self, base: &Path, compiled: Option<&str>, view: &str, points: &[String]) -> Vec<OsString> {
        let at = |path: &str| base.join(path.trim_start_matches('/')).into_os_string();
        // -F: whole labels, users as well. -m: the running kernel has no policy, so no mount in /proc/mounts says that
        // it can hold labels. -r: the rules are for paths below the view.
        let mut words: Vec<OsString> = vec!["-F".into(), "-m".into(), "-r".into(), at(view)];
        words.extend(compiled.iter().flat_map(|path| ["-c".into(), at(path)]));
        words.extend([at(&self.contexts()), at(view)]);
        words.extend(points.iter().map(|point| at(&format!("{view}/{}", point.trim_matches('/')))));
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_decide() {
        let text = "# comment\nSELINUX=disabled\nSELINUX = no\nSELINUX=Enforcing \nSELINUXTYPE=targeted\n";
        let policy = Policy::parse(text).unwrap();
        assert_eq!((policy.name.as_str(), policy.mode.as_str()), ("targeted", "enforcing"));
        assert_eq!(Policy::parse("SELINUX=disabled\nSELINUXTYPE=targeted\n"), None);
        assert_eq!(Policy::parse("SELINUX=enforcing\n"), None);
        assert_eq!(Policy::parse("SELINUX=enforcing\nSELINUXTYPE=../../tmp\n"), None);
    }

    #[test]
    fn a_root_needs_rules_and_setfiles_gets_the_newest_policy() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("etc/selinux");
        fs::create_dir_all(dir.join("targeted/contexts/files")).unwrap();
        fs::create_dir_all(dir.join("targeted/policy")).unwrap();
        fs::write(dir.join("config"), "SELINUX=permissive\nSELINUXTYPE=targeted\n").unwrap();
        assert_eq!(Policy::of(root.path()), None);
        fs::write(dir.join("targeted/contexts/files/file_contexts"), "").unwrap();
        for version in [9, 33, 31] {
            fs::write(dir.join(format!("targeted/policy/policy.{version}")), "").unwrap();
        }
        let policy = Policy::of(root.path()).unwrap();
        let compiled = policy.compiled(root.path());
        let words = policy.words(Path::new("/"), compiled.as_deref(), "/run/view", &["/boot".to_owned()]);
        assert_eq!(
            words.join(" ".as_ref()),
            "-F -m -r /run/view -c /etc/selinux/targeted/policy/policy.33 \
             /etc/selinux/targeted/contexts/files/file_contexts /run/view /run/view/boot"
        );
    }
}
