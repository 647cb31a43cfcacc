//! What the block device layer is told: `params.yaml`, and the description of the disks that it names.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::error::{Faults, on};
use crate::plan::disk::graph::{self, Entry, Plugin};
use crate::plan::disk::size::parse_bytes;
use crate::plan::disk::{self, DiskLayout, ROOT_NODE, RootFs};
use crate::yaml;

/// Where a build keeps its parameters, below `TMP_BUILD_DIR` (contract 2.4).
pub fn parameters_file(build: &Path) -> PathBuf {
    build.join("block-device/params.yaml")
}

/// The keys of `params.yaml` (contract 2.5).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Parameters {
    /// The description of the disks.
    pub config: PathBuf,
    /// Where raw files lie.
    pub image_dir: PathBuf,
    /// Where the root filesystem is mounted.
    pub mount_base: PathBuf,
    /// `TMP_BUILD_DIR`: states lie below it, and the tree is in `built`.
    pub build_dir: PathBuf,
    /// What `mkfs_root` gets where it has no value of its own.
    pub root: RootFs,
    /// Bytes of the disks that have no size of their own.
    pub image_size: Option<u64>,
}

impl Parameters {
    /// Reads a file of parameters.
    ///
    /// # Errors
    /// When it cannot be read, is no YAML, or lacks a key.
    pub fn load(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| on("reading", file))?;
        let node = yaml::parse(&text, file).map_err(Faults::from)?;
        let get = |key: &str| node.get(key).and_then(|n| n.text()).filter(|t| !t.is_empty()).map(str::to_owned);
        let need = |key: &str| get(key).with_context(|| format!("{}: '{key}' is missing", file.display()));
        let size = get("image-size").map(|text| parse_bytes(&text).map_err(anyhow::Error::msg)).transpose()?;
        let block_size = std::env::var("DIB_BLOCK_SIZE").ok().and_then(|text| text.parse().ok());
        Ok(Self {
            config: need("config")?.into(),
            image_dir: need("image-dir")?.into(),
            mount_base: need("mount-base")?.into(),
            build_dir: need("build-dir")?.into(),
            root: RootFs {
                fs_type: get("root-fs-type").unwrap_or_else(|| "ext4".into()),
                label: get("root-label"),
                options: get("root-fs-opts").unwrap_or_default().split_whitespace().map(str::to_owned).collect(),
                usual_options: Vec::new(),
                block_size,
            },
            image_size: size,
        })
    }

    /// Writes them to a file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn save(&self, file: &Path) -> Result<()> {
        let path = |path: &Path| path.display().to_string();
        let mut lines = vec![
            ("config", path(&self.config)),
            ("image-dir", path(&self.image_dir)),
            ("root-fs-type", self.root.fs_type.clone()),
            ("root-label", self.root.label.clone().unwrap_or_default()),
            ("mount-base", path(&self.mount_base)),
            ("build-dir", path(&self.build_dir)),
        ];
        if let Some(bytes) = self.image_size {
            lines.push(("image-size", format!("{}KiB", bytes / 1024)));
        }
        let options = self.root.options_of(&self.root.fs_type);
        if !options.is_empty() {
            lines.push(("root-fs-opts", options.join(" ")));
        }
        let text: String =
            lines.iter().map(|(key, value)| format!("{key}: '{}'\n", value.replace('\'', "''"))).collect();
        fs::write(file, text).with_context(|| on("writing", file))
    }

    /// Where states lie.
    pub fn states(&self) -> PathBuf {
        self.build_dir.join("states/block-device")
    }

    /// Reads the description and writes it in graph form, with what it takes from the parameters, to `config.json`.
    ///
    /// # Errors
    /// All mistakes of the description.
    pub fn init(&self) -> Result<()> {
        let text = fs::read_to_string(&self.config).with_context(|| on("reading", &self.config))?;
        let layout = disk::parse(&text, &self.config, &self.root, &mut Vec::new())?;
        let description = yaml::parse(&text, &self.config).map_err(Faults::from)?;
        let entries = graph::flatten(&description)?;
        let nodes: Vec<Value> = entries.iter().map(|entry| merged(entry, &layout)).collect();
        let states = self.states();
        fs::create_dir_all(&states).with_context(|| on("making", &states))?;
        let file = states.join("config.json");
        let text = serde_json::to_string_pretty(&nodes).context("writing JSON")?;
        fs::write(&file, text + "\n").with_context(|| on("writing", &file))
    }

    /// The layout that `init` has left.
    ///
    /// # Errors
    /// When `init` has not run.
    pub fn layout(&self) -> Result<DiskLayout> {
        let file = self.states().join("config.json");
        let text = fs::read_to_string(&file).with_context(|| on("reading (init writes it)", &file))?;
        Ok(disk::parse(&text, &file, &self.root, &mut Vec::new())?)
    }

    /// Writes /etc/fstab into the tree.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write_fstab(&self) -> Result<()> {
        let etc = self.build_dir.join("built/etc");
        fs::create_dir_all(&etc).with_context(|| on("making", &etc))?;
        let file = etc.join("fstab");
        fs::write(&file, self.layout()?.fstab_text()).with_context(|| on("writing", &file))
    }
}

/// An entry in graph form; the root filesystem's with the values that it takes from elsewhere (contract 5.9).
fn merged(entry: &Entry, layout: &DiskLayout) -> Value {
    let mut body: Map<String, Value> = entry.body.to_json().as_object().cloned().unwrap_or_default();
    if entry.plugin == Plugin::Mkfs
        && let Some(fs) =
            layout.filesystems.iter().find(|fs| fs.name == ROOT_NODE && body.get("name") == Some(&json!(fs.name)))
    {
        for (key, value) in [("type", fs.kind.clone()), ("label", fs.label.clone()), ("opts", fs.options.join(" "))] {
            if !value.is_empty() {
                body.entry(key).or_insert(Value::String(value));
            }
        }
    }
    json!({ entry.plugin.key(): body })
}
