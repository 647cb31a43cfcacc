//! A whole backup of a CentOS 7 restored into whole trees.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::*;

/// A new system with what is read of it: by default Rocky 9 with NetworkManager.
struct System(TempDir);

impl System {
    fn new() -> Self {
        let system = Self(TempDir::new().unwrap());
        for (path, text) in [
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/bash\nchrony:x:997:995::/var/lib/chrony:/sbin/nologin\ngrafana:x:985:985::/:/sbin/nologin\nvendor:x:1001:1001::/home/vendor:/bin/bash\n",
            ),
            (
                "etc/shadow",
                "root:!locked::0:99999:7:::\nchrony:!!:19000::::::\nvendor:$6$vendor$vendorvendorvendor:19000:0:99999:7:::\n",
            ),
            ("etc/group", "root:x:0:\nwheel:x:10:\nchrony:x:995:\nbackupgrp:x:980:\nvendor:x:1001:\n"),
            ("etc/gshadow", "root:::\nwheel:::\nchrony:!::\nbackupgrp:!::\nvendor:!::\n"),
            ("etc/login.defs", "# comment\nUID_MIN                  1000\nGID_MIN 1000\n"),
            ("etc/sudoers", "root\tALL=(ALL) \tALL\n%wheel\tALL=(ALL)\tALL\n#includedir /etc/sudoers.d\n"),
            ("etc/hosts", "127.0.0.1   localhost localhost.localdomain\n::1         localhost localhost.localdomain\n"),
            ("etc/chrony.conf", "pool 2.rocky.pool.ntp.org iburst\ndriftfile /var/lib/chrony/drift\n"),
            ("etc/skel/.bashrc", "# bash\n"),
            ("etc/machine-id", "uninitialized\n"),
            ("etc/vconsole.conf", "KEYMAP=us\nFONT=eurlatgr\n"),
            ("etc/cloud/cloud.cfg", "\n"),
            ("usr/share/zoneinfo/Europe/Berlin", "TZif"),
            ("usr/lib/locale/locale-archive", "en_US.utf8\0de_DE.utf8\0"),
            ("usr/lib/kbd/keymaps/xkb/de-nodeadkeys.map.gz", ""),
            ("usr/sbin/NetworkManager", ""),
            ("bin/bash", ""),
            ("bin/sh", ""),
            ("sbin/nologin", ""),
            ("root/.ssh/authorized_keys", "ssh-ed25519 AAAAvendor vendor\n"),
        ] {
            system.write(path, text);
        }
        system
    }

    fn path(&self, path: &str) -> PathBuf {
        self.0.path().join(path)
    }

    fn write(&self, path: &str, text: &str) {
        fs::create_dir_all(self.path(path).parent().unwrap()).unwrap();
        fs::write(self.path(path), text).unwrap();
    }

    fn text(&self, path: &str) -> String {
        fs::read_to_string(self.path(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn mode(&self, path: &str) -> u32 {
        fs::metadata(self.path(path)).unwrap().permissions().mode() & 0o7777
    }

    /// Restores, and gives the report and all lines of the log.
    fn restore(&self, backup: &Path) -> (Report, String) {
        let mut lines = String::new();
        let report = restore(backup, self.0.path(), &mut |line| lines += &format!("{line}\n")).unwrap();
        assert!(!lines.contains("SECRET"), "a secret is in the log: {lines}");
        (report, lines)
    }
}

fn centos7() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/centos7")
}

#[test]
fn name_region_and_clock() {
    let system = System::new();
    system.restore(&centos7());
    assert_eq!(system.text("etc/hostname"), "va1.example.com\n");
    assert_eq!(system.text("etc/machine-id"), "0123456789abcdef0123456789abcdef\n");
    assert!(system.text("etc/hosts").contains("\n192.0.2.20  db.example.com db\n127.0.1.1 "));
    assert_eq!(fs::read_link(system.path("etc/localtime")).unwrap(), Path::new("../usr/share/zoneinfo/Europe/Berlin"));
    assert_eq!(system.text("etc/locale.conf"), "LANG=de_DE.UTF-8\n");
    assert_eq!(system.text("etc/vconsole.conf"), "FONT=eurlatgr\nKEYMAP=de-nodeadkeys\n");
    let chrony = system.text("etc/chrony.conf");
    assert!(chrony.contains("server ntp1.example.com iburst\nserver 192.0.2.123 iburst prefer\n"), "{chrony}");
    assert!(!chrony.contains("rocky.pool"), "{chrony}");
    assert!(system.text("etc/cloud/cloud.cfg.d/99-from-old-system.cfg").contains("ssh_deletekeys: false"));
}

#[test]
fn accounts_keep_their_passwords_and_avoid_others_numbers() {
    let system = System::new();
    let (report, lines) = system.restore(&centos7());
    let (passwd, shadow) = (system.text("etc/passwd"), system.text("etc/shadow"));
    assert!(shadow.contains("root:$6$rootsalt$SECRETrootSECRETrootSECRETroot:18000:"), "{shadow}");
    assert!(passwd.contains("\njoe:x:1000:1000:Joe Doe,,,:/home/joe:/bin/bash\n"), "{passwd}");
    assert!(lines.contains("account joe has /bin/bash now: /bin/zsh is not in the new system"), "{lines}");
    // 1001 is the vendor's in the new system, and 1002 was somebody else's in the old one.
    assert!(passwd.contains("\nann:x:1004:") && passwd.contains("\nvendor:x:1001:"), "{passwd}");
    assert!(lines.contains("account ann has the number 1004 now: 1001 is vendor's"), "{lines}");
    assert!(lines.contains("the password of ann is kept as a hash of MD5"), "{lines}");
    assert!(
        passwd.contains("\nbackup:x:1002:980::/srv/backup:/sbin/nologin\n"),
        "the group is there already: {passwd}"
    );
    assert!(passwd.contains("\ngrafana:x:985:985::/:/sbin/nologin\n"), "{passwd}");
    assert!(lines.contains("account grafana (1003) is the name of a service in the new system (985)"), "{lines}");
    assert!(lines.contains("account operator2 has the number 500"), "{lines}");
    assert!(!passwd.contains("nfsnobody") && !passwd.contains("polkitd"), "{passwd}");
    let group = system.text("etc/group");
    assert!(group.contains("wheel:x:10:joe,ann\n") && group.contains("team:x:1010:joe,ann\n"), "{group}");
    assert!(lines.contains("group docker is not in the new system; its members were: joe"), "{lines}");
    assert!(system.text("etc/gshadow").contains("wheel:::joe,ann\n"));
    assert_eq!(system.mode("home/joe"), 0o700);
    assert_eq!(system.text("home/joe/.bashrc"), "# bash\n");
    assert_eq!(report.logins, ["root", "joe", "ann"]);
}

#[test]
fn rules_and_keys() {
    let system = System::new();
    let (_, lines) = system.restore(&centos7());
    assert_eq!(
        system.text("etc/sudoers.d/50-from-old-system"),
        "# From the system before.\njoe\tALL=(ALL)\tNOPASSWD: /sbin/reboot, \\\n\t/sbin/poweroff\n"
    );
    assert_eq!(system.mode("etc/sudoers.d/50-from-old-system"), 0o440);
    assert!(system.text("etc/sudoers.d/team").contains("%team ALL=(ALL) NOPASSWD: /usr/bin/systemctl\n"));
    assert!(!system.path("etc/sudoers.d/team.rpmsave").exists());
    assert_eq!(system.text("etc/ssh/ssh_host_rsa_key"), "SECRET private host key\n");
    assert_eq!(system.mode("etc/ssh/ssh_host_rsa_key"), 0o600);
    assert_eq!(system.mode("etc/ssh/ssh_host_rsa_key.pub"), 0o644);
    assert!(!system.path("etc/ssh/ssh_host_dsa_key").exists());
    assert_eq!(system.text("home/joe/.ssh/authorized_keys"), "ssh-ed25519 AAAAC3joe joe@desk\n");
    assert_eq!(system.mode("home/joe/.ssh"), 0o700);
    assert_eq!(system.mode("home/joe/.ssh/authorized_keys"), 0o600);
    assert_eq!(
        system.text("root/.ssh/authorized_keys"),
        "ssh-rsa AAAAB3admin admin@desk\nssh-ed25519 AAAAvendor vendor\n"
    );
    for told in [
        "the old one had: Port 2222",
        "the old one had: PermitRootLogin yes",
        "conditions (Match)",
        "host key ssh_host_dsa_key",
    ] {
        assert!(lines.contains(told), "{told}: {lines}");
    }
    assert!(!lines.contains("PasswordAuthentication"), "{lines}");
}

const ETH0: &str = "# From the system before.

[connection]
id=eth0
uuid=5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03
type=ethernet
autoconnect=true
autoconnect-priority=10

[ethernet]
mac-address=52:54:00:aa:00:01
mtu=1400

[ipv4]
method=manual
address1=192.0.2.10/24
address2=192.0.2.11/25
address3=198.51.100.7/24
gateway=192.0.2.1
dns=192.0.2.53;
dns-search=example.com;lab.example.com;
route1=10.10.0.0/16,192.0.2.254,50

[ipv6]
method=manual
address1=2001:db8::10/64
gateway=fe80::1
dns=2001:db8::53;
dns-search=example.com;lab.example.com;
";

#[test]
fn the_network_becomes_keyfiles_that_find_cards_by_their_addresses() {
    let system = System::new();
    let (report, lines) = system.restore(&centos7());
    let file = |name: &str| system.text(&format!("etc/NetworkManager/system-connections/{name}.nmconnection"));
    assert_eq!(file("eth0"), ETH0);
    assert_eq!(system.mode("etc/NetworkManager/system-connections/eth0.nmconnection"), 0o600);
    let bond = file("bond0");
    assert!(bond.contains("\n[bond]\nmiimon=100\nmode=active-backup\n"), "{bond}");
    assert!(bond.contains("interface-name=bond0\n") && bond.contains("never-default=true\n"), "{bond}");
    assert!(bond.contains("ignore-auto-dns=true\n") && bond.contains("[ipv6]\nmethod=disabled\n"), "{bond}");
    let uuid = bond.lines().find_map(|l| l.strip_prefix("uuid=")).unwrap().to_owned();
    for (name, mac) in [("eth1", "52:54:00:aa:00:02"), ("eth2", "52:54:00:aa:00:03")] {
        let port = file(name);
        assert!(port.contains(&format!("master={uuid}\nslave-type=bond\n")), "{port}");
        assert!(port.contains(&format!("mac-address={mac}\n")) && !port.contains("[ipv4]"), "{port}");
    }
    let vlan = file("bond0.10");
    assert!(vlan.contains(&format!("[vlan]\nid=10\nparent={uuid}\n")), "{vlan}");
    assert!(vlan.contains("autoconnect=false\n") && vlan.contains("address1=10.0.10.5/24\n"), "{vlan}");
    assert!(vlan.contains("route1=10.99.0.0/16,10.0.10.1\n"), "{vlan}");
    assert_eq!(report.connections, 5);
    for told in [
        "team0: an interface of the kind team is not carried over",
        "the option primary=eth1 of the bond is not carried over",
        "eth3 had 203.0.113.9/28 without a file that says so",
    ] {
        assert!(report.told.iter().any(|line| line.contains(told)), "{told}: {lines}");
    }
}

#[test]
fn without_network_manager_networkd_gets_it() {
    let system = System::new();
    fs::remove_file(system.path("usr/sbin/NetworkManager")).unwrap();
    system.write("usr/lib/systemd/systemd-networkd", "");
    system.restore(&centos7());
    let file = |name: &str| system.text(&format!("etc/systemd/network/05-{name}"));
    let eth0 = file("eth0.network");
    assert!(eth0.contains("[Match]\nPermanentMACAddress=52:54:00:aa:00:01\n"), "{eth0}");
    assert!(eth0.contains("Address=192.0.2.10/24\n") && eth0.contains("[Route]\nGateway=192.0.2.1\n"), "{eth0}");
    assert!(
        eth0.contains("DHCP=no\nIPv6AcceptRA=no\n") && eth0.contains("Domains=example.com lab.example.com\n"),
        "{eth0}"
    );
    assert!(file("bond0.netdev").contains("Kind=bond\n\n[Bond]\nMIIMonitorSec=100ms\nMode=active-backup\n"));
    assert!(file("bond0.network").contains("VLAN=bond0.10\n"));
    assert!(file("eth1.network").contains("Bond=bond0\n"));
    assert!(file("bond0.10.netdev").contains("[VLAN]\nId=10\n"));
    assert!(file("bond0.10.network").contains("ActivationPolicy=manual\n"));
    let resolv = "search example.com lab.example.com\nnameserver 192.0.2.53\nnameserver 2001:db8::53\n";
    assert_eq!(system.text("etc/resolv.conf"), resolv, "without resolved nobody else would write it");
    assert!(system.path("etc/systemd/system/multi-user.target.wants/systemd-networkd.service").is_symlink());
}

#[test]
fn twice_is_the_same_as_once() {
    let system = System::new();
    let (first, _) = system.restore(&centos7());
    let files = ["etc/passwd", "etc/shadow", "etc/group", "etc/gshadow", "etc/hosts", "etc/chrony.conf"];
    let before: Vec<String> = files.iter().map(|f| system.text(f)).collect();
    let (second, _) = system.restore(&centos7());
    assert_eq!(before, files.iter().map(|f| system.text(f)).collect::<Vec<_>>());
    assert_eq!(first.logins, second.logins);
}

#[test]
fn nobody_and_nothing_are_failures() {
    let system = System::new();
    let backup = TempDir::new().unwrap();
    fs::create_dir_all(backup.path().join("files/etc")).unwrap();
    fs::write(backup.path().join("files/etc/shadow"), "root:!!:1::::::\n").unwrap();
    let failed = restore(backup.path(), system.0.path(), &mut |_| {}).unwrap_err();
    assert!(failed.to_string().contains("nobody could log in"), "{failed:#}");
    fs::remove_file(system.path("usr/sbin/NetworkManager")).unwrap();
    let failed = restore(&centos7(), system.0.path(), &mut |_| {}).unwrap_err();
    assert!(format!("{failed:#}").contains("neither NetworkManager nor systemd-networkd"), "{failed:#}");
    assert!(restore(&centos7().join("none"), system.0.path(), &mut |_| {}).is_err());
}

#[test]
fn resolv_conf_and_gateways_of_all_are_used_where_files_say_nothing() {
    let system = System::new();
    let backup = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = backup.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("files/etc/shadow", "root:$6$s$SECRETSECRETSECRET:1::::::\n");
    write("links", "em1 52:54:00:00:00:09\n");
    write("files/etc/sysconfig/network", "NETWORKING=yes\nGATEWAY=172.16.0.1\n");
    write("files/etc/resolv.conf", "search a.example b.example\nnameserver 127.0.0.1\nnameserver 172.16.0.53\n");
    write("files/etc/sysconfig/network-scripts/ifcfg-em1.20", "VLAN=yes\nDEVICE=em1.20\nIPADDR=172.16.0.5\n");
    system.restore(backup.path());
    let file = |name: &str| system.text(&format!("etc/NetworkManager/system-connections/{name}.nmconnection"));
    let vlan = file("em1.20");
    assert!(
        vlan.contains(
            "address1=172.16.0.5/16\ngateway=172.16.0.1\ndns=172.16.0.53;\ndns-search=a.example;b.example;\n"
        ),
        "{vlan}"
    );
    // The card had no file: it carries the VLAN only.
    let card = file("em1");
    assert!(card.contains("mac-address=52:54:00:00:00:09\n") && card.contains("[ipv4]\nmethod=disabled\n"), "{card}");
}

#[test]
fn copied_files_do_not_get_in_each_others_way() {
    let system = System::new();
    let backup = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = backup.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("files/etc/shadow", "root:$6$s$SECRETSECRETSECRET:1::::::\n");
    let uuid = "5fb06bd0-0bb0-7ffb-45f1-d6edd65f3e03";
    let scripts = "files/etc/sysconfig/network-scripts";
    write(
        &format!("{scripts}/ifcfg-eth0"),
        &format!("DEVICE=eth0\nUUID={uuid}\nONBOOT=no\nHWADDR=52:54:00:00:00:01\nIPADDR=10.0.0.1\n"),
    );
    write(
        &format!("{scripts}/ifcfg-office"),
        &format!("DEVICE=eth0\nUUID={uuid}\nHWADDR=52:54:00:00:00:01\nBOOTPROTO=dhcp\n"),
    );
    write(
        &format!("{scripts}/ifcfg-eth1"),
        &format!("DEVICE=eth1\nUUID={uuid}\nHWADDR=52:54:00:00:00:02\nBOOTPROTO=dhcp\n"),
    );
    let (report, lines) = system.restore(backup.path());
    assert_eq!(report.connections, 2);
    assert!(lines.contains("eth0 has several files"), "{lines}");
    let file = |name: &str| system.text(&format!("etc/NetworkManager/system-connections/{name}.nmconnection"));
    assert!(file("eth0").contains("method=auto\n"));
    assert_ne!(file("eth0").contains(uuid), file("eth1").contains(uuid));
}

#[test]
fn files_of_networkd_are_taken_over() {
    let system = System::new();
    fs::remove_file(system.path("usr/sbin/NetworkManager")).unwrap();
    system.write("usr/lib/systemd/systemd-networkd", "");
    system.write("etc/network/interfaces", "auto eth0\niface eth0 inet dhcp\n");
    let backup = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = backup.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("files/etc/shadow", "root:$6$s$SECRETSECRETSECRET:1::::::\n");
    write("files/etc/systemd/network/05-eth0.network", "[Match]\nName=eth0\n");
    write("files/etc/systemd/network/wg.netdev", "PrivateKey=SECRET\n");
    write("live-addresses", "2: eth0    inet 10.0.0.1/8 scope global eth0\n");
    let (report, _) = system.restore(backup.path());
    assert_eq!(system.text("etc/systemd/network/05-eth0.network"), "[Match]\nName=eth0\n");
    assert_eq!(system.mode("etc/systemd/network/05-eth0.network"), 0o644);
    assert_eq!(system.mode("etc/systemd/network/wg.netdev"), 0o600);
    assert!(!system.text("etc/network/interfaces").contains("eth0"));
    assert!(!report.told.iter().any(|line| line.contains("without a file")), "{:?}", report.told);
}

#[test]
fn bridges_and_dhcp_for_both_protocols() {
    let system = System::new();
    let backup = TempDir::new().unwrap();
    let write = |path: &str, text: &str| {
        let path = backup.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    write("files/etc/shadow", "root:$6$s$SECRETSECRETSECRET:1::::::\n");
    let scripts = "files/etc/sysconfig/network-scripts";
    write(
        &format!("{scripts}/ifcfg-br0"),
        "DEVICE=br0\nTYPE=Bridge\nSTP=on\nDELAY=0\nBOOTPROTO=dhcp\nPEERDNS=no\nDNS1=9.9.9.9\n",
    );
    write(&format!("{scripts}/ifcfg-eth0"), "DEVICE=eth0\nHWADDR=52:54:00:00:00:01\nBRIDGE=br0\n");
    write(&format!("{scripts}/ifcfg-ib0"), "DEVICE=ib0\nTYPE=InfiniBand\n");
    let (_, lines) = system.restore(backup.path());
    let file = |name: &str| system.text(&format!("etc/NetworkManager/system-connections/{name}.nmconnection"));
    let bridge = file("br0");
    assert!(bridge.contains("[bridge]\nstp=true\nforward-delay=2\n"), "{bridge}");
    assert!(
        bridge.contains("[ipv4]\nmethod=auto\ndns=9.9.9.9;\nignore-auto-dns=true\n\n[ipv6]\nmethod=auto\n"),
        "{bridge}"
    );
    assert!(file("eth0").contains("slave-type=bridge\n"));
    assert!(lines.contains("ib0: an interface of the kind infiniband is not carried over"), "{lines}");
}
