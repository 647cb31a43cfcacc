//! Tests of the static reader of `environment.d` files; where bash is there, it has the last word.

use super::*;

fn initial(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

/// The exported variables after the text, `?` for what is unknown.
fn after(text: &str, before: &[(&str, &str)]) -> BTreeMap<String, String> {
    let mut env = StaticEnv::new(&initial(before));
    env.source(text);
    let shown = |v: Value| v.known().unwrap_or("?").to_owned();
    env.values.into_iter().map(|(name, value)| (name, shown(value))).collect()
}

#[track_caller]
fn check(text: &str, before: &[(&str, &str)], expected: &[(&str, &str)]) {
    assert_eq!(after(text, before), initial(expected), "{text}");
}

#[test]
fn assignments_quotes_and_concatenation() {
    check(
        "export A=1 B='two words' # comment\nexport C=\"$A-${B}\"\n",
        &[],
        &[("A", "1"), ("B", "two words"), ("C", "1-two words")],
    );
    check("A=1; export A; B=2\nexport A+=3", &[], &[("A", "13")]);
    check("export A=a\\ b\nexport B=\"x\\\"y\\z\"\nexport C=$'z'", &[], &[("A", "a b"), ("B", "x\"y\\z"), ("C", "z")]);
    check("export \"A=x y\" 'B=z'; export -n B; readonly C=1", &[], &[("A", "x y")]);
    check("A=x echo hi\nexport A=\\\ny", &[], &[("A", "y")]);
    check("unset A; declare -x B=1", &[("A", "1")], &[("B", "1")]);
}

#[test]
fn defaults_let_the_caller_win() {
    let text =
        "export R=${R:-trixie}\nexport S=${S-x}\n: ${T:=t}\n: \"${U=u}\"\nexport T\nexport V=${R:+yes}${N:+no}\n";
    check(text, &[("S", "")], &[("R", "trixie"), ("S", ""), ("T", "t"), ("V", "yes")]);
    check("export R=${R:-trixie}", &[("R", "bookworm")], &[("R", "bookworm")]);
    check("export R=${R:-\"a ${Q:-b} c\"}", &[], &[("R", "a b c")]);
    check("export R=${R:-}", &[], &[("R", "")]);
}

#[test]
fn parts_of_values() {
    check(
        "export A=${R%%.*} B=${R%.*} C=${R#*.} D=${R##*.} E=${R^^} F=${#R} G=${R%\".4\"}",
        &[("R", "r9.3.4")],
        &[
            ("A", "r9"),
            ("B", "r9.3"),
            ("C", "3.4"),
            ("D", "4"),
            ("E", "R9.3.4"),
            ("F", "6"),
            ("G", "r9.3"),
            ("R", "r9.3.4"),
        ],
    );
    check("export A=${R/x/y} B=${R:0:1}", &[("R", "x")], &[("A", "?"), ("B", "?"), ("R", "x")]);
}

#[test]
fn what_only_bash_can_tell_is_unknown() {
    check(
        "export A=$(uname -r)\nexport B=`date`\nexport C=x$((1+2))\nexport D=ok",
        &[],
        &[("A", "?"), ("B", "?"), ("C", "?"), ("D", "ok")],
    );
    check(
        "export A=$UNSET; export B=~/x; arr=(a b); export arr; export E=${arr[0]}",
        &[],
        &[("A", "?"), ("B", "?"), ("E", "?"), ("arr", "?")],
    );
    check("export A=${A:-$(mktemp)}", &[("A", "set")], &[("A", "set")]);
    check("read -r A B <<< \"x y\"; export A", &[], &[("A", "?"), ("B", "?")]);
    check(
        "export D=$(dirname \"$(readlink -f \"${BASH_SOURCE[0]}\")\")/x)\nexport F=1",
        &[],
        &[("D", "?"), ("F", "?")],
    );
}

#[test]
fn conditions_with_known_outcome() {
    let text = r#"
if [ "$D" = "fedora" -o "$D" = "rocky" ]; then
    export Y=dnf
elif [[ $D == cent* && ! $D =~ ^x ]]; then
    export Y=yum
else
    export Y=apt
fi
[ -z "${X:-}" ] && export X=empty
[ -n "${X:-}" ] || export X=never
if test 3 -gt "${N:-2}"; then export Z=more; fi
"#;
    check(text, &[("D", "rocky")], &[("D", "rocky"), ("Y", "dnf"), ("X", "empty"), ("Z", "more")]);
    check(text, &[("D", "centos"), ("N", "9")], &[("D", "centos"), ("N", "9"), ("Y", "yum"), ("X", "empty")]);
    check(text, &[("D", "debian"), ("X", "x")], &[("D", "debian"), ("X", "x"), ("Y", "apt"), ("Z", "more")]);
}

#[test]
fn case_takes_the_first_arm_that_matches() {
    let text = "case ${A:-$M} in\n (amd64|x86_64) export T=x86 ;;\n arm*)\n  export T=arm\n  ;;\n \"*\") export T=star;;\n *) export T=other\nesac\n";
    for (arch, target) in [("x86_64", "x86"), ("armhf", "arm"), ("*", "star"), ("riscv", "other")] {
        check(text, &[("A", arch)], &[("A", arch), ("T", target)]);
    }
    check("case $(uname -m) in x) export T=1;; y) export U=2;; esac", &[], &[("T", "?"), ("U", "?")]);
    check("case $(uname -m) in x) export T=1;; *) export T=1; V=1;; esac", &[], &[("T", "1")]);
}

#[test]
fn conditions_that_cannot_be_told_make_unknown_only_what_differs() {
    check("if [ -e /etc/x ]; then export A=1 B=2; else export A=1 B=3; fi", &[], &[("A", "1"), ("B", "?")]);
    check("if grep -q x /proc/cpuinfo; then export A=${A:-1}; fi", &[("A", "0")], &[("A", "0")]);
    check("command -v foo >/dev/null 2>&1 && export A=1\nexport B=1", &[], &[("A", "?"), ("B", "1")]);
    check("uname -r | grep -q x || export A=1 &", &[], &[]);
}

#[test]
fn leaving_early() {
    check("[ -n \"${A:-}\" ] && return 0\nexport A=1", &[], &[("A", "1")]);
    check("[ -n \"${A:-}\" ] && return 0\nexport B=1", &[("A", "x")], &[("A", "x")]);
    check("if [ -e /x ]; then return; fi\nexport B=1", &[], &[("B", "?")]);
    // A way that ends the build needs no plan.
    check("if [ -e /x ]; then echo no; exit 1; fi\nexport B=1", &[], &[("B", "1")]);
    check("test -e /x || return 1\nexport B=1", &[], &[("B", "1")]);
}

#[test]
fn loops_functions_and_here_documents() {
    check(
        "for x in a b; do A=\"$A $x\"; export A; done\nexport B=1",
        &[("A", "0")],
        &[("A", "?"), ("B", "1"), ("x", "?")],
    );
    check("set_it() {\n  local L=1\n  export A=1\n}\nexport A=0\nset_it\nexport B=1", &[], &[("A", "?"), ("B", "1")]);
    check("function f { export A=1; }\nexport A=0", &[], &[("A", "0")]);
    check("cat <<EOF >/dev/null\nexport A=1\nfi ;; )\nEOF\nexport B=1", &[], &[("B", "1")]);
    check("( export A=1 ); { export B=1; }", &[], &[("B", "1")]);
    check("while read -r A; do :; done < /etc/x", &[], &[("A", "?")]);
}

#[test]
fn what_cannot_be_parsed_makes_its_names_unknown_and_what_stands_before_counts() {
    check(
        "export A=1\nif [ x ]; then export B=2\nexport C+=3 ${D:=4}",
        &[],
        &[("A", "1"), ("B", "?"), ("C", "?"), ("D", "?")],
    );
    check("export A=1\n)\nB=1", &[], &[("A", "1"), ("B", "?")]);
    check("export A='open", &[], &[("A", "?")]);
    check("eval \"export A=1\"", &[("A", "0")], &[("A", "?")]);
}

#[test]
fn files_share_one_shell_and_only_exported_names_come_out() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let files =
        [write("10-a", "HELPER=x\nexport A=${A:-first}\n"), write("20-b", "export B=$HELPER\nexport A=${A:-second}\n")];
    let env = evaluate(&files, &BTreeMap::new()).unwrap();
    assert_eq!((env.known("A"), env.known("B"), env.get("HELPER")), (Some("first"), Some("x"), None));
    assert!(evaluate(&[dir.path().join("none")], &BTreeMap::new()).is_err());
    let env = evaluate_from(&files, StaticEnv::default().with_unknown(["A"])).unwrap();
    assert_eq!(env.get("A"), Some(&Value::Unknown));
}

/// Everything that the reader claims to know has to be what bash says. Snippets in the style of real elements.
#[test]
fn bash_agrees_with_everything_that_is_known() {
    const SNIPPETS: &[&str] = &[
        "export DISTRO_NAME=debian\nexport DIB_RELEASE=${DIB_RELEASE:-stable}\nexport EFI_BOOT_DIR=\"EFI/debian\"",
        "export A=\"${B:-\"q r\"}\"; export C='a'\"b\"c\\d; export D=\"\\$x \\\\ \\`\"",
        "if [ \"${FS_TYPE:-}\" = \"xfs\" ]; then export X=1; elif [[ \"${ARCH:=amd64}\" =~ (amd|arm)64 ]]; then export X=2; fi; export ARCH",
        "export P=${PATH_X:-/usr/bin}:/x; export Q=\"${P//:/ }\"; export R=${P%%:*}; export S=${P##*/}; export T=${P#/*/}",
        "[[ a == [a-c] ]] && export A=1; [[ 'a*' == 'a*' ]] && export B=1; [[ abc == 'a*' ]] || export C=1; [[ b > a ]] && export D=1",
        "x=1; [ $x -eq 01 ] && export A=yes; [ ! -z \"$x\" -a \"$x\" != 2 ] && export B=yes; test -n \"\" || export C=yes",
        "case 10.2 in 9*|10.[0-1]) export A=no;; 10.?) export A=yes;; esac; case x in ?) export B=1;; esac",
        "export A=1 \\\n  B=2\n{ export C=3; } ; ! false && export D=4; true || export E=5",
        "export A='x'; A+=y; export B=${A:+set} C=${Z:+set} D=${#A}; unset A; export A; F=${A-none}; export F",
        "export V=8-stream; export W=${V%-stream} U=${V,,} Y=${V^^}; export K=$'tab'x L=a=b=c",
    ];
    for snippet in SNIPPETS {
        let script = format!("set -ue -o pipefail\n{snippet}\nenv -0\n");
        let output = std::process::Command::new("bash").arg("-c").arg(&script).env_clear().output().unwrap();
        assert!(output.status.success(), "{snippet}: {}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let mut real: BTreeMap<&str, &str> = text.split('\0').filter_map(|line| line.split_once('=')).collect();
        real.retain(|name, _| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        let told = after(snippet, &[]);
        let names: Vec<_> = told.keys().map(String::as_str).collect();
        assert_eq!(names, real.keys().copied().collect::<Vec<_>>(), "{snippet}");
        for (name, value) in &told {
            assert!(
                value == "?" || value == real[name.as_str()],
                "{snippet}: {name}: {value} and not {}",
                real[name.as_str()]
            );
        }
    }
}
