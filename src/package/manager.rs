//! The command lines of package managers, as data: argv lists, one list after the other.
//! [`crate::target::install_packages`] runs them in the target.

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// apt-get, of Debian and its family.
    Apt,
    /// dnf of version 4.
    Dnf,
    /// dnf of version 5.
    Dnf5,
    /// yum.
    Yum,
    /// zypper, of the SUSE family.
    Zypper,
}

/// What a package manager is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Install packages.
    Install,
    /// Remove packages, and with zypper what only they needed.
    Remove,
    /// Bring the whole system up to date; takes no packages.
    Upgrade,
    /// Download packages without installing them, into a directory where the manager can be told one.
    Download(Option<String>),
}

/// What the environment says about how a manager is called.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// `YUM`: the program to use in place of the detected dnf or yum.
    pub yum: Option<String>,
    /// `YUM_FLAGS`, in place of `-y -v`.
    pub yum_flags: Option<Vec<String>>,
}

const APT: &[&str] = &[
    "apt-get",
    // Configuration files that the build has already written stay as they are.
    "--option",
    "Dpkg::Options::=--force-confold",
    "--option",
    "Dpkg::Options::=--force-confdef",
    "--assume-yes",
];
const ZYPPER: &[&str] = &["zypper", "--non-interactive", "--gpg-auto-import-keys"];

impl Manager {
    /// The manager of a target, by what is there: `has` says whether a program of that name can be
    /// found. dpkg counts first, because a Debian system may well have dnf installed as a tool.
    pub fn detect(has: impl Fn(&str) -> bool) -> Option<Manager> {
        // dnf5 leaves a `dnf` that is a link to it.
        let order = [
            ("apt-get", Manager::Apt),
            ("zypper", Manager::Zypper),
            ("dnf5", Manager::Dnf5),
            ("dnf", Manager::Dnf),
            ("yum", Manager::Yum),
        ];
        order.into_iter().find(|(program, _)| has(program)).map(|(_, manager)| manager)
    }

    /// The variables that its commands need.
    pub fn environment(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Manager::Apt => &[("DEBIAN_FRONTEND", "noninteractive")],
            _ => &[],
        }
    }

    /// The commands that do `action` with `packages`, to be run one after the other until one fails.
    /// `None` when the manager has no such action.
    pub fn commands(self, action: &Action, packages: &[String], settings: &Settings) -> Option<Vec<Vec<String>>> {
        match self {
            Manager::Apt => apt(action, packages),
            Manager::Zypper => zypper(action, packages),
            Manager::Dnf | Manager::Dnf5 | Manager::Yum => Some(self.yum(action, packages, settings)),
        }
    }

    /// The key of the package maps that hold names for its systems.
    pub fn family(self) -> &'static str {
        match self {
            Manager::Apt => "debian",
            Manager::Zypper => "suse",
            Manager::Dnf | Manager::Dnf5 | Manager::Yum => "redhat",
        }
    }

    /// The commands of dnf and yum. After an install, packages that were there already as
    /// dependencies are marked as wanted, or a later autoremove would take them away.
    fn yum(self, action: &Action, packages: &[String], settings: &Settings) -> Vec<Vec<String>> {
        let program = settings.yum.as_deref().unwrap_or(match self {
            Manager::Yum => "yum",
            _ => "dnf",
        });
        let mut flags: Vec<&str> = match &settings.yum_flags {
            Some(given) => given.iter().map(String::as_str).collect(),
            None => vec!["-y", "-v"],
        };
        // dnf 5 has no -v.
        flags.retain(|flag| self != Manager::Dnf5 || *flag != "-v");
        let with_flags = |verb: &str| command(&[&[program], flags.as_slice(), &[verb]].concat(), packages);
        match action {
            Action::Remove => vec![with_flags("remove")],
            Action::Upgrade => vec![command(&[program, "-y", "update"], &[])],
            Action::Install => {
                let mark: Option<&[&str]> = match self {
                    Manager::Dnf => Some(&["dnf", "-y", "mark", "install"]),
                    Manager::Dnf5 => Some(&["dnf", "-y", "mark", "user"]),
                    _ => None,
                };
                let names: Vec<String> = packages.iter().filter(|p| can_be_marked(p)).cloned().collect();
                let mark = mark.filter(|_| !names.is_empty()).map(|words| command(words, &names));
                std::iter::once(with_flags("install")).chain(mark).collect()
            }
            Action::Download(dir) => {
                let dir = dir.as_deref().unwrap_or(".");
                let words: &[&str] = match self {
                    Manager::Yum => &["yumdownloader", "--destdir", dir],
                    _ => &["dnf", "download", "-y", "--destdir", dir],
                };
                vec![command(words, packages)]
            }
        }
    }
}

/// Groups and files of packages are known to dnf's install, not to its mark. What they bring counts as
/// wanted anyway, unless it was there before.
fn can_be_marked(package: &str) -> bool {
    !package.starts_with('@') && !package.ends_with(".rpm")
}

fn apt(action: &Action, packages: &[String]) -> Option<Vec<Vec<String>>> {
    Some(vec![match action {
        Action::Install => command(&[APT, &["install"]].concat(), packages),
        Action::Remove => command(&[APT, &["remove"]].concat(), packages),
        Action::Upgrade => command(&[APT, &["dist-upgrade"]].concat(), &[]),
        Action::Download(_) => return None,
    }])
}

fn zypper(action: &Action, packages: &[String]) -> Option<Vec<Vec<String>>> {
    let words: &[&str] = match action {
        Action::Install => &["install", "--no-recommends"],
        Action::Remove => &["remove", "--clean-deps"],
        Action::Upgrade => return Some(vec![command(&[ZYPPER, &["dist-upgrade", "--no-recommends"]].concat(), &[])]),
        Action::Download(_) => &["install", "--no-recommends", "--download-only"],
    };
    Some(vec![command(&[ZYPPER, words].concat(), packages)])
}

fn command(words: &[&str], packages: &[String]) -> Vec<String> {
    words.iter().map(|w| (*w).to_owned()).chain(packages.iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(manager: Manager, action: &Action) -> Vec<String> {
        let packages = ["a".to_owned(), "b".to_owned()];
        let commands = manager.commands(action, &packages, &Settings::default()).unwrap();
        commands.iter().map(|c| c.join(" ")).collect()
    }

    #[test]
    fn apt_keeps_configuration_files_and_asks_nothing() {
        let head =
            "apt-get --option Dpkg::Options::=--force-confold --option Dpkg::Options::=--force-confdef --assume-yes";
        assert_eq!(lines(Manager::Apt, &Action::Install), [format!("{head} install a b")]);
        assert_eq!(lines(Manager::Apt, &Action::Remove), [format!("{head} remove a b")]);
        assert_eq!(lines(Manager::Apt, &Action::Upgrade), [format!("{head} dist-upgrade")]);
        assert_eq!(Manager::Apt.commands(&Action::Download(None), &[], &Settings::default()), None);
        assert_eq!(Manager::Apt.environment(), [("DEBIAN_FRONTEND", "noninteractive")]);
    }

    #[test]
    fn dnf_marks_what_it_installed() {
        assert_eq!(lines(Manager::Dnf, &Action::Install), ["dnf -y -v install a b", "dnf -y mark install a b"]);
        assert_eq!(lines(Manager::Dnf5, &Action::Install), ["dnf -y install a b", "dnf -y mark user a b"]);
        assert_eq!(lines(Manager::Yum, &Action::Install), ["yum -y -v install a b"]);
        assert_eq!(lines(Manager::Dnf, &Action::Download(Some("/d".into()))), ["dnf download -y --destdir /d a b"]);
        let settings = Settings { yum: Some("microdnf".into()), yum_flags: Some(vec!["-y".into()]) };
        let commands = Manager::Yum.commands(&Action::Install, &["a".into()], &settings).unwrap();
        assert_eq!(commands, [["microdnf", "-y", "install", "a"]]);
        let settings = Settings { yum: None, yum_flags: Some(vec!["-q".into(), "-v".into()]) };
        let commands = Manager::Dnf5.commands(&Action::Remove, &["a".into()], &settings).unwrap();
        assert_eq!(commands, [["dnf", "-q", "remove", "a"]]);
    }

    #[test]
    fn dnf_marks_neither_groups_nor_files() {
        let of = |packages: &[&str]| {
            let packages: Vec<String> = packages.iter().map(|p| (*p).to_owned()).collect();
            Manager::Dnf.commands(&Action::Install, &packages, &Settings::default()).unwrap()
        };
        assert_eq!(of(&["@core", "/tmp/a.rpm"]).len(), 1);
        assert_eq!(of(&["@core", "b", "https://x/a.rpm"])[1].join(" "), "dnf -y mark install b");
    }

    #[test]
    fn zypper_takes_no_recommendations() {
        let head = "zypper --non-interactive --gpg-auto-import-keys";
        assert_eq!(lines(Manager::Zypper, &Action::Install), [format!("{head} install --no-recommends a b")]);
        assert_eq!(lines(Manager::Zypper, &Action::Remove), [format!("{head} remove --clean-deps a b")]);
    }

    #[test]
    fn a_debian_system_with_dnf_is_a_debian_system() {
        assert_eq!(Manager::detect(|p| ["apt-get", "dnf"].contains(&p)), Some(Manager::Apt));
        assert_eq!(Manager::detect(|p| ["dnf", "yum"].contains(&p)), Some(Manager::Dnf));
        assert_eq!(Manager::detect(|p| ["dnf", "dnf5"].contains(&p)), Some(Manager::Dnf5));
        assert_eq!(Manager::detect(|_| false), None);
    }
}
