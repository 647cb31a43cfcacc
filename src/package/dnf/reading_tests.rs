//! What dnf 4.14 printed on a machine where each of these was made to happen; the last lines of it.
//! What dnf 5 prints is put together from its sources, for there is none on the machine.

use super::*;

fn read(text: &str) -> Failure {
    failure(&text.lines().map(str::to_owned).collect::<Vec<_>>())
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn metadata_of(reason: Reason) -> Failure {
    Failure::Metadata { repository: "baseos".into(), reason }
}

const REPOMD: &str = "http://127.0.0.1:18222/9/BaseOS/x86_64/os/repodata/repomd.xml";
const TRIED: &str = "Error: Failed to download metadata for repo 'baseos': Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried";

#[test]
fn repository_data_that_is_not_there() {
    let four = format!(
        "Rocky Linux 9 - BaseOS                           17 kB/s | 335  B     00:00    \n\
         Errors during downloading metadata for repository 'baseos':\n  - Status code: 404 for {REPOMD} (IP: 127.0.0.1)\n{TRIED}"
    );
    let expected = metadata_of(Reason::Status { code: 404, url: REPOMD.into() });
    assert_eq!(read(&four), expected);
    let five = format!(
        "Updating and loading repositories:\n Rocky Linux 9 - BaseOS  ???% |  17.0 KiB/s | 335.0   B |  00m00s\n\
         >>> Status code: 404 for {REPOMD} (IP: 127.0.0.1)\n\
         Failed to download metadata (baseurl: \"http://127.0.0.1:18222/9/BaseOS/x86_64/os/\") for repository \"baseos\": \
         Cannot download repomd.xml: Cannot download repodata/repomd.xml: All mirrors were tried"
    );
    assert_eq!(read(&five), expected);
    let file = "Errors during downloading metadata for repository 'baseos':\n  - Curl error (37): Couldn't read a file:// file for \
         file:///m/8.1/BaseOS/x86_64/os/repodata/repomd.xml [Couldn't open file /m/8.1/BaseOS/x86_64/os/repodata/repomd.xml]\n";
    let url = "file:///m/8.1/BaseOS/x86_64/os/repodata/repomd.xml".to_owned();
    assert_eq!(read(&format!("{file}{TRIED}")), metadata_of(Reason::NoFile { url }));
}

#[test]
fn servers_that_do_not_answer() {
    let refused = format!(
        "Errors during downloading metadata for repository 'baseos':\n  - Curl error (7): Couldn't connect to server for \
         http://127.0.0.1:1/r/repomd.xml [Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server]\n{TRIED}"
    );
    let why = "Failed to connect to 127.0.0.1 port 1 after 0 ms: Couldn't connect to server".to_owned();
    assert_eq!(read(&refused), metadata_of(Reason::Unreachable { url: "http://127.0.0.1:1/r/repomd.xml".into(), why }));
    let certificate = format!(
        "  - Curl error (60): SSL peer certificate or SSH remote key was not OK for https://m/r/repomd.xml \
         [SSL certificate problem: certificate is not yet valid]\n{TRIED}"
    );
    let why = "SSL certificate problem: certificate is not yet valid".to_owned();
    assert_eq!(read(&certificate), metadata_of(Reason::Certificate { url: "https://m/r/repomd.xml".into(), why }));
    let list = "Error: Failed to download metadata for repo 'baseos': Cannot prepare internal mirrorlist: No URLs in mirrorlist";
    assert_eq!(read(list), metadata_of(Reason::NoMirror));
    let offline = "Error: Cache-only enabled but no cache for 'baseos'";
    assert_eq!(read(offline), Failure::NotCached { repository: "baseos".into() });
    let offline = "Cache-only enabled but no cache for repository \"baseos\"";
    assert_eq!(read(offline), Failure::NotCached { repository: "baseos".into() });
}

#[test]
fn repository_data_that_does_not_fit() {
    let end = "Error: Failed to download metadata for repo 'baseos': Yum repo downloading error: Downloading error(s): \
         repodata/67df-primary.xml.gz - Cannot download, all mirrors were already tried without success";
    let checksum =
        "  - Downloading successful, but checksum doesn't match. Calculated: 71dc(sha256)  Expected: 67df(sha256) ";
    assert_eq!(read(&format!("{checksum}\n{end}")), metadata_of(Reason::Checksum));
    let url = "http://127.0.0.1:18222/9/BaseOS/x86_64/os/repodata/67df-primary.xml.gz".to_owned();
    let part = format!(
        "  - Curl error (18): Transferred a partial file for {url} [transfer closed with 20103 bytes remaining to read]"
    );
    assert_eq!(read(&format!("{part}\n{end}")), metadata_of(Reason::Truncated { url }));
    let garbage = "Error: Failed to download metadata for repo 'baseos': repomd.xml parser error: Element <repomd> was not found - Bad repomd file";
    assert_eq!(read(garbage), metadata_of(Reason::Garbage("Element <repomd> was not found - Bad repomd file".into())));
}

#[test]
fn packages_that_cannot_be_downloaded() {
    let text = "\
[MIRROR] bash-5.2.15-1.el9.x86_64.rpm: Status code: 404 for http://m/Packages/bash-5.2.15-1.el9.x86_64.rpm (IP: 127.0.0.1)
(3/6): ncurses-6.4-1.standin.el9.x86_64.rpm      22 MB/s | 380 kB     00:00    
[FAILED] bash-5.2.15-1.el9.x86_64.rpm: No more mirrors to try - All mirrors were already tried without success

Error: Error downloading packages:
  bash-5.2.15-1.el9.x86_64: Cannot download, all mirrors were already tried without success";
    let url = "http://m/Packages/bash-5.2.15-1.el9.x86_64.rpm".to_owned();
    let expected =
        Failure::Download { file: "bash-5.2.15-1.el9.x86_64.rpm".into(), reason: Reason::Status { code: 404, url } };
    assert_eq!(read(text), expected);
}

#[test]
fn names_that_are_not_found() {
    let nothing =
        |packages: &[&str], groups: &[&str]| Failure::NotFound { packages: strings(packages), groups: strings(groups) };
    let four = "No match for argument: nosuch\nNo match for argument: bsh\nError: Unable to find a match: nosuch bsh";
    assert_eq!(read(four), nothing(&["bsh", "nosuch"], &[]));
    assert_eq!(read("Module or Group 'nosuch' is not available.\nError: Nothing to do."), nothing(&[], &["nosuch"]));
    let environment = "Module or Group '^minimal' is not available.\nError: Nothing to do.";
    assert_eq!(read(environment), nothing(&[], &["minimal"]));
    let both = "Error: Problems in request:\nmissing packages: a, b\nmissing groups or modules: c";
    assert_eq!(read(both), nothing(&["a", "b"], &["c"]));
    let five = "Failed to resolve the transaction:\nNo match for argument: nosuch\nYou can try to add to command line:\n  \
         --skip-unavailable to skip unavailable packages";
    assert_eq!(read(five), nothing(&["nosuch"], &[]));
}

#[test]
fn the_solvers_reasons_come_with_the_cause_first() {
    let four = "Error: \n Problem: package chain1-1-1.noarch requires chain2, but none of the providers can be installed\n  \
         - package chain2-1-1.noarch requires chain3, but none of the providers can be installed\n  \
         - conflicting requests\n  - nothing provides chain4 needed by chain3-1-1.noarch\n\
         (try to add '--skip-broken' to skip uninstallable packages or '--nobest' to use not only best candidate packages)";
    let reasons = [
        "nothing provides chain4 needed by chain3-1-1.noarch",
        "chain1-1-1.noarch requires chain2",
        "chain2-1-1.noarch requires chain3",
    ];
    assert_eq!(read(four), Failure::Dependencies(strings(&reasons)));
    let conflict = "Error: \n Problem: package conflictor-1-1.noarch conflicts with bash provided by \
         bash-5.2.15-1.standin.el9.x86_64\n  - conflicting requests\n(try to add '--allowerasing' to command line to replace)";
    let reason = "conflictor-1-1.noarch conflicts with bash provided by bash-5.2.15-1.standin.el9.x86_64";
    assert_eq!(read(conflict), Failure::Dependencies(strings(&[reason])));
    let five = "Failed to resolve the transaction:\nProblem 1: conflicting requests\n  \
         - nothing provides a needed by b-1-1.noarch from bad\nProblem 2: cannot install the best candidate for the job\n  \
         - nothing provides c needed by d-1-1.noarch from bad\nYou can try to add to command line:\n  \
         --skip-broken to skip uninstallable packages";
    let reasons =
        ["nothing provides a needed by b-1-1.noarch from bad", "nothing provides c needed by d-1-1.noarch from bad"];
    assert_eq!(read(five), Failure::Dependencies(strings(&reasons)));
    let rpm = "Error: transaction check vs depsolve:\n/bin/sh is needed by failpretrans-1-1.noarch\n\
         To diagnose the problem, try running: 'rpm -Va --nofiles --nodigest'.";
    assert_eq!(read(rpm), Failure::Dependencies(strings(&["/bin/sh is needed by failpretrans-1-1.noarch"])));
}

#[test]
fn signatures_and_keys() {
    let of = |package: &str, fault, keys: &[&str]| Failure::Signature {
        package: package.into(),
        fault,
        keys: strings(keys),
    };
    let unsigned = "Key imported successfully\nPackage unsigned-1-1.noarch.rpm is not signed\nError: GPG check FAILED";
    assert_eq!(read(unsigned), of("unsigned-1-1.noarch.rpm", SignatureFault::Missing, &[]));
    let other = "Import of key(s) didn't help, wrong key(s)?\n\
         Public key for wrongsig-1-1.noarch.rpm is not installed. Failing package is: wrongsig-1-1.noarch\n \
         GPG Keys are configured as: file:///k/good.key, file:///k/b.key\nError: GPG check FAILED";
    let keys = ["file:///k/good.key", "file:///k/b.key"];
    assert_eq!(read(other), of("wrongsig-1-1.noarch.rpm", SignatureFault::OtherKey, &keys));
    let no_key = "The GPG keys listed for the \"Bad things\" repository are already installed but they are not correct for this package.\n\
         Check that the correct key URLs are configured for this repository.. Failing package is: failpost-1-1.noarch\n \
         GPG Keys are configured as: file:///k/nokey.key\nError: GPG check FAILED";
    assert_eq!(read(no_key), of("failpost-1-1.noarch", SignatureFault::NoUsableKey, &["file:///k/nokey.key"]));
    let five = "Transaction failed: Signature verification failed.\nOpenPGP check for package \"unsigned-1-1.noarch\" \
         (/var/cache/libdnf5/bad-1/packages/unsigned-1-1.noarch.rpm) from repo \"bad\" has failed: The package is not signed.";
    assert_eq!(read(five), of("unsigned-1-1.noarch", SignatureFault::Missing, &[]));
    let missing = "Bad things                                      0.0  B/s |   0  B     00:00    \n\
         Curl error (37): Couldn't read a file:// file for file:///k/nosuch.key [Couldn't open file /k/nosuch.key]";
    assert_eq!(read(missing), Failure::Key(Reason::NoFile { url: "file:///k/nosuch.key".into() }));
}

#[test]
fn what_rpm_refuses() {
    let files = "Error: Transaction test error:\n  file /a from install of x-1-1.noarch conflicts with file from package y-1-1.noarch\n";
    let line = "file /a from install of x-1-1.noarch conflicts with file from package y-1-1.noarch";
    assert_eq!(read(files), Failure::Transaction(strings(&[line])));
    let space = "Error: Transaction test error:\n  installing package glibc-2.36-1.x86_64 needs 12MB more space on the / filesystem\n\nError Summary\n";
    let line = "installing package glibc-2.36-1.x86_64 needs 12MB more space on the / filesystem";
    assert_eq!(read(space), Failure::Space(strings(&[line])));
}

#[test]
fn a_script_that_ends_the_transaction() {
    let text = "  Running scriptlet: failpre-1-1.noarch                                     7/7 \npre says no\n\
         error: %prein(failpre-1-1.noarch) scriptlet failed, exit status 3\n\nError in PREIN scriptlet in rpm package failpre\n\n\
         Installed:\n  basesystem-11-1.standin.el9.x86_64       bash-5.2.15-1.standin.el9.x86_64     \nFailed:\n  \
         failpre-1-1.noarch                                                            \n\nError: Transaction failed";
    let Failure::Scriptlets(failed) = read(text) else { panic!("{:?}", read(text)) };
    assert_eq!((failed[0].package.as_str(), failed[0].kind.as_str()), ("failpre-1-1.noarch", "%pre"));
}

#[test]
fn anything_else_keeps_the_last_words() {
    assert_eq!(read("some progress\nError: Unknown thing\nmore"), Failure::Other(strings(&["Unknown thing", "more"])));
    assert_eq!(read("Traceback\n  a\n\nKeyError: x"), Failure::Other(strings(&["Traceback", "  a", "KeyError: x"])));
}
