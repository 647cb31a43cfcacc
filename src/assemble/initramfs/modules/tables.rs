//! What modprobe and udev read about the modules in an image: as depmod would write it, without running depmod.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use super::index::{Index, Module};
use super::load::Lines;
use super::modinfo;
use super::names;
use super::trie::Trie;

/// The tables of some modules of one kernel.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// The kernel.
    pub kernel: String,
    modules: Vec<Module>,
    aliases: Vec<(String, String)>,
    symbols: Vec<(String, String)>,
    lines: Lines,
    builtin_list: Vec<u8>,
    builtin_modinfo: Vec<u8>,
    order: Vec<String>,
}

impl Tables {
    /// The tables of those modules of `index` that are named.
    #[must_use]
    pub fn of(index: &Index, names: &BTreeSet<String>) -> Self {
        let kept = |pairs: &[(String, String)]| pairs.iter().filter(|(_, m)| names.contains(m)).cloned().collect();
        let lines = |lines: &[(String, String)]| lines.iter().filter(|(m, _)| names.contains(m)).cloned().collect();
        let in_order = |line: &&String| names::of_file(line.as_ref()).is_some_and(|name| names.contains(&name));
        Self {
            kernel: index.kernel.clone(),
            modules: index.modules.iter().filter(|m| names.contains(&m.name)).cloned().collect(),
            aliases: kept(index.aliases.pairs()),
            symbols: kept(&index.symbols),
            lines: Lines {
                softdep: lines(&index.lines.softdep),
                weakdep: lines(&index.lines.weakdep),
                devname: lines(&index.lines.devname),
            },
            builtin_list: index.builtin_list.clone(),
            builtin_modinfo: index.builtin_modinfo.clone(),
            order: index.order.iter().filter(in_order).cloned().collect(),
        }
    }

    /// The tables of all modules of `index`.
    #[must_use]
    pub fn all(index: &Index) -> Self {
        Self::of(index, &index.modules.iter().map(|m| m.name.clone()).collect())
    }

    /// Lays these tables over those of a base image: they cover the modules of both. Gives the files of the base, below
    /// the kernel's directory, that are to be removed because a module of the same name is in another file now.
    pub fn over(&mut self, base: &Index) -> Vec<PathBuf> {
        let new: HashMap<&str, &PathBuf> = self.modules.iter().map(|m| (m.name.as_str(), &m.file)).collect();
        let replaced = |m: &&Module| new.get(m.name.as_str()).is_some_and(|file| **file != m.file);
        let replaced = base.modules.iter().filter(replaced).map(|m| m.file.clone()).collect();
        let old = base.modules.iter().map(|m| m.name.clone()).filter(|name| !new.contains_key(name.as_str())).collect();
        let old = Self::of(base, &old);
        self.modules.extend(old.modules);
        self.aliases.extend(old.aliases);
        self.symbols.extend(old.symbols);
        self.lines.softdep.extend(old.lines.softdep);
        self.lines.weakdep.extend(old.lines.weakdep);
        self.lines.devname.extend(old.lines.devname);
        self.order.extend(old.order);
        for (mine, theirs) in
            [(&mut self.builtin_list, old.builtin_list), (&mut self.builtin_modinfo, old.builtin_modinfo)]
        {
            if mine.is_empty() {
                *mine = theirs;
            }
        }
        replaced
    }

    /// The files to put into the kernel's directory, by name: text for people, udev and old tools, `.bin` for modprobe.
    /// `modules.dep.bin` is what modprobe cannot do without.
    #[must_use]
    pub fn files(&self) -> Vec<(&'static str, Vec<u8>)> {
        let alias_head = "# Aliases extracted from modules themselves.\n";
        let symbols_head = "# Aliases for symbols, used by symbol_request().\n";
        let mut files = vec![
            (
                "modules.dep",
                self.dependencies().into_iter().map(|(_, line)| line + "\n").collect::<String>().into_bytes(),
            ),
            ("modules.alias", alias_lines(alias_head, &self.aliases)),
            ("modules.symbols", alias_lines(symbols_head, &self.symbols)),
            ("modules.softdep", lines("# Soft dependencies extracted from modules themselves.\n", &self.lines.softdep)),
            ("modules.order", self.order.iter().flat_map(|line| [line, "\n"]).collect::<String>().into_bytes()),
            ("modules.builtin", self.builtin_list.clone()),
            ("modules.builtin.modinfo", self.builtin_modinfo.clone()),
        ];
        if !self.lines.weakdep.is_empty() {
            let head = "# Weak dependencies extracted from modules themselves.\n";
            files.push(("modules.weakdep", lines(head, &self.lines.weakdep)));
        }
        if !self.lines.devname.is_empty() {
            let head = "# Device nodes to trigger on-demand module loading.\n";
            files.push(("modules.devname", lines(head, &self.lines.devname)));
        }
        files.extend(self.tries());
        files
    }

    /// A line of `modules.dep` for each module, with its name.
    fn dependencies(&self) -> Vec<(&str, String)> {
        let file: HashMap<&str, String> =
            self.modules.iter().map(|m| (m.name.as_str(), m.file.display().to_string())).collect();
        let mut seen = HashSet::new();
        let first = self.modules.iter().filter(|m| seen.insert(m.name.as_str()));
        let line = |module: &Module| {
            let needs = module.needs.iter().filter_map(|need| file.get(need.as_str()));
            needs.fold(format!("{}:", module.file.display()), |line, need| line + " " + need)
        };
        first.map(|module| (module.name.as_str(), line(module))).collect()
    }

    fn tries(&self) -> [(&'static str, Vec<u8>); 5] {
        let place: HashMap<&str, u32> =
            self.modules.iter().zip(0..).map(|(m, place)| (m.name.as_str(), place)).collect();
        let place = |name: &str| place.get(name).copied().unwrap_or(0);
        let mut tries: [Trie; 5] = Default::default();
        let [dep, alias, symbols, builtin, builtin_alias] = &mut tries;
        for (name, line) in self.dependencies() {
            dep.insert(name, &line, place(name));
        }
        for (pattern, module) in &self.aliases {
            alias.insert(&names::plain(pattern), module, place(module));
        }
        for (symbol, module) in &self.symbols {
            symbols.insert(symbol, module, place(module));
        }
        for line in String::from_utf8_lossy(&self.builtin_list).lines() {
            if let Some(name) = names::of_file(line.as_ref()) {
                builtin.insert(&name, "", 0);
            }
        }
        for (pattern, module) in modinfo::builtin_aliases(&self.builtin_modinfo) {
            builtin_alias.insert(&names::plain(&pattern), &names::plain(&module), 0);
        }
        let names = [
            "modules.dep.bin",
            "modules.alias.bin",
            "modules.symbols.bin",
            "modules.builtin.bin",
            "modules.builtin.alias.bin",
        ];
        let mut tries = tries.iter().map(Trie::write);
        names.map(|name| (name, tries.next().unwrap_or_default()))
    }
}

fn alias_lines(head: &str, pairs: &[(String, String)]) -> Vec<u8> {
    let lines = pairs.iter().map(|(pattern, module)| format!("alias {pattern} {module}\n"));
    (head.to_owned() + &lines.collect::<String>()).into_bytes()
}

fn lines(head: &str, lines: &[(String, String)]) -> Vec<u8> {
    let lines = lines.iter().map(|(_, line)| format!("{line}\n"));
    (head.to_owned() + &lines.collect::<String>()).into_bytes()
}
