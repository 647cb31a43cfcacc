//! What stage one says on the kernel's command line.

use anyhow::{Context, Result, bail, ensure};
use image_init::cmdline::CommandLine;
use image_init::root_spec::RootSpec;

/// The request of stage one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The file system of the old system that holds the bundle.
    pub root: RootSpec,
    /// The bundle's folder, relative to that file system's root.
    pub dir: String,
    /// What the old kernel called the system disk, and its size. Only told, never acted upon.
    pub disk: Option<(String, u64)>,
    /// The step before which a shell is wanted.
    pub stop: Option<String>,
    /// How many seconds to wait before which step.
    pub pause: Option<(u64, String)>,
}

impl Request {
    /// Reads the words that begin with `upgrade_tiny.`.
    ///
    /// # Errors
    /// Which word is missing or wrong.
    pub fn parse(line: &CommandLine) -> Result<Self> {
        let named = line.get("upgrade_tiny.root").context(
            "the kernel's command line has no upgrade_tiny.root=UUID=...: this program runs only where stage one started it",
        )?;
        let root = RootSpec::parse(named)
            .with_context(|| format!("upgrade_tiny.root={named} is not understood: UUID=... is expected"))?;
        let dir = line.get("upgrade_tiny.dir").unwrap_or("etc/upd").trim_matches('/').to_owned();
        ensure!(!dir.is_empty() && !dir.split('/').any(|part| part == ".."), "upgrade_tiny.dir={dir} is no plain path");
        let disk = line.get("upgrade_tiny.disk").and_then(|text| {
            let (name, bytes) = text.rsplit_once(':')?;
            Some((name.trim_start_matches("/dev/").to_owned(), bytes.parse().ok()?))
        });
        let pause = match line.get("upgrade_tiny.pause").map(|text| (text, text.split_once('@'))) {
            None => None,
            Some((text, Some((seconds, step)))) => {
                let seconds = seconds.parse().with_context(|| format!("upgrade_tiny.pause={text}: SECONDS@STEP"))?;
                Some((seconds, step.to_owned()))
            }
            Some((text, None)) => bail!("upgrade_tiny.pause={text} is not understood: SECONDS@STEP is expected"),
        };
        Ok(Self { root, dir, disk, stop: line.get("upgrade_tiny.stop").map(str::to_owned), pause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Result<Request> {
        Request::parse(&CommandLine::parse(text))
    }

    #[test]
    fn the_line_of_stage_one_is_read() {
        let line = "BOOT_IMAGE=/vmlinuz-convert upgrade_tiny.root=UUID=6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a01 \
                    upgrade_tiny.dir=/etc/upd upgrade_tiny.disk=nvme0n1:10737418240 panic=30 console=tty0 console=ttyS0";
        let request = of(line).unwrap();
        assert_eq!(request.root, RootSpec::Uuid("6b2ae0ed-3d0c-4a36-8a73-0c3a2a4c9a01".into()));
        assert_eq!(request.dir, "etc/upd");
        assert_eq!(request.disk, Some(("nvme0n1".into(), 10_737_418_240)));
        assert_eq!((request.stop, request.pause), (None, None));
    }

    #[test]
    fn words_for_rehearsals() {
        let request = of("upgrade_tiny.root=UUID=a upgrade_tiny.stop=wipe upgrade_tiny.pause=30@load").unwrap();
        assert_eq!(request.stop.as_deref(), Some("wipe"));
        assert_eq!(request.pause, Some((30, "load".into())));
        assert!(
            of("upgrade_tiny.root=UUID=a upgrade_tiny.pause=load").unwrap_err().to_string().contains("SECONDS@STEP")
        );
    }

    #[test]
    fn other_boots_are_refused() {
        assert!(of("root=/dev/sda1 ro").unwrap_err().to_string().contains("stage one"));
        assert!(of("upgrade_tiny.root=sda").is_err());
        assert!(of("upgrade_tiny.root=UUID=a upgrade_tiny.dir=../x").is_err());
    }
}
