//! [`Certificates`]: where a cluster's certificates lie, as its configuration
//! says, and the papers of one node or one client among them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use skein_runtime::tls::{Files, Tls, Trust, check_name};

use crate::config::{Config, ConfigError};

/// Stands for the name of the node in the path of a file.
pub const NODE: &str = "{node}";

/// Where certificates lie. With them, nodes and clients speak TLS and nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// The certificate of the cluster's authority; several while one replaces the other.
    pub ca: PathBuf,
    /// The certificate of a node, which names it. `{node}` in the path is its name.
    pub cert: PathBuf,
    /// The key of that certificate.
    pub key: PathBuf,
    /// The certificate of clients that bring none of their own,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_cert: Option<PathBuf>,
    /// and its key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_key: Option<PathBuf>,
    /// The page of a node (`http`) speaks TLS, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub http: bool,
}

impl Certificates {
    /// Those that `skein config certificates` puts into a folder.
    pub fn in_folder(folder: &Path) -> Certificates {
        Certificates {
            ca: folder.join("ca.pem"),
            cert: folder.join(format!("{NODE}.pem")),
            key: folder.join(format!("{NODE}.key")),
            client_cert: Some(folder.join("client.pem")),
            client_key: Some(folder.join("client.key")),
            http: false,
        }
    }

    /// Whether certificates can tell these nodes apart.
    pub(crate) fn check<'a>(&self, nodes: impl Iterator<Item = &'a String>) -> Result<(), ConfigError> {
        let mut names: BTreeMap<String, &String> = BTreeMap::new();
        for node in nodes {
            check_name(node).map_err(|error| ConfigError(error.to_string()))?;
            let name = node.trim_end_matches('.').to_ascii_lowercase();
            if let Some(other) = names.insert(name, node) {
                return Err(ConfigError(format!(
                    "nodes {other} and {node} differ in capital letters or a last dot only, and no certificate can \
                     tell them apart: give one another name"
                )));
            }
        }
        for (key, path) in [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)] {
            if path.as_os_str().is_empty() {
                return Err(ConfigError(format!("there is no `{key}` among the certificates: TLS wants all three")));
            }
        }
        Ok(())
    }

    /// The files of a node.
    pub fn of_node(&self, node: &str) -> Files {
        let named = |path: &Path| PathBuf::from(path.to_string_lossy().replace(NODE, node));
        Files { ca: self.ca.clone(), cert: named(&self.cert), key: named(&self.key) }
    }

    pub(crate) fn of_client(&self) -> Option<Files> {
        let (cert, key) = (self.client_cert.clone()?, self.client_key.clone()?);
        Some(Files { ca: self.ca.clone(), cert, key })
    }
}

impl Config {
    /// With what a node makes itself known, if this cluster speaks TLS.
    pub fn tls_of(&self, node: &str) -> Result<Option<Tls>, ConfigError> {
        let Some(certificates) = &self.tls else { return Ok(None) };
        let opened = Tls::open(certificates.of_node(node), Some(node), &self.homes);
        opened.map(Some).map_err(|error| ConfigError(error.to_string()))
    }

    /// Whether the pages of nodes speak TLS.
    pub fn serves_page_by_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|certificates| certificates.http)
    }

    /// Whom somebody believes who only visits a node. It presents what clients have, if they have anything.
    pub(crate) fn trust_of_visitor(&self) -> Result<Trust, ConfigError> {
        let missing = || ConfigError("this cluster has no certificates: add [tls]".to_owned());
        let certificates = self.tls.as_ref().ok_or_else(missing)?;
        let read = match certificates.of_client() {
            Some(files) => Trust::read_with(&files),
            None => Trust::read(&certificates.ca),
        };
        read.map_err(|error| ConfigError(error.to_string()))
    }

    /// The same for a client.
    pub fn tls_of_client(&self) -> Result<Option<Tls>, ConfigError> {
        let Some(certificates) = &self.tls else { return Ok(None) };
        let files = certificates.of_client().ok_or_else(|| {
            ConfigError(
                "this cluster speaks TLS: name a certificate and its key by --cert and --key, or by client_cert and \
                 client_key in the configuration"
                    .to_owned(),
            )
        })?;
        Tls::open(files, None, &self.homes).map(Some).map_err(|error| ConfigError(error.to_string()))
    }
}
