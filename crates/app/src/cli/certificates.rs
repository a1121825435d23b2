//! `skein config certificates`: an authority for one cluster, and what it signs
//! for its nodes and clients. Clusters whose people have an authority need it
//! for nothing.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use skein_runtime::tls::{Authority, Files, Issued, Papers, Validity};

use super::{Mistake, Verdict, output};
use crate::certificates::{Certificates, NODE};
use crate::config::Config;

/// The authority itself is not made anew when certificates are: ten years.
const AUTHORITY_DAYS: u32 = 3653;

#[derive(Args)]
#[command(
    after_help = "The folder gets ca.pem, ca.key, and a certificate and a key for each node and for clients. What is
there already stays; --renew makes the certificates anew, by the same authority. Every node needs ca.pem, its own
certificate and its own key. Keep ca.key away from all of them: whoever has it can be any node.

Example:
  skein config certificates certificates --config skein.toml"
)]
pub(crate) struct Arguments {
    /// The folder to put them into.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The configuration of the cluster, which says what nodes there are.
    #[arg(long, value_name = "FILE", env = "SKEIN_CONFIG", default_value = "skein.toml")]
    config: PathBuf,
    /// How long they are valid.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
    days: u32,
    /// Make certificates anew that are there already.
    #[arg(long)]
    renew: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let config = Config::read(&arguments.config).map_err(|error| Mistake(error.to_string()))?;
    let (made, kept) = make(&config, &arguments.folder, arguments.days, arguments.renew)?;
    output::line(format_args!("{}: {made} certificates made, {kept} were there", arguments.folder.display()));
    if config.tls.is_none() {
        let tls = Certificates::in_folder(&arguments.folder);
        let path = |path: &Path| format!("{:?}", path.display().to_string());
        output::line(format_args!("\nAdd this to {}:\n\n[tls]", arguments.config.display()));
        let client = [("client_cert", tls.client_cert), ("client_key", tls.client_key)];
        let client = client.into_iter().filter_map(|(key, file)| Some((key, file?)));
        for (key, file) in [("ca", tls.ca), ("cert", tls.cert), ("key", tls.key)].into_iter().chain(client) {
            output::line(format_args!("{key} = {}", path(&file)));
        }
    }
    Ok(true)
}

/// Makes what is missing in a folder, and answers how many certificates were made and how many there were.
pub(crate) fn make(config: &Config, folder: &Path, days: u32, renew: bool) -> Result<(usize, usize), Mistake> {
    fs::create_dir_all(folder).map_err(|error| Mistake(format!("cannot make {}: {error}", folder.display())))?;
    let files = Certificates::in_folder(folder);
    Certificates::check(&files, config.nodes.keys()).map_err(|error| Mistake(error.to_string()))?;
    let name = format!("Skein cluster {}", config.cluster.id());
    let authority = authority(&files.ca, &folder.join("ca.key"), &name)?;
    let (mut made, mut kept) = (0, 0);
    let nodes = config.nodes.keys().map(Some).chain([None]);
    for node in nodes {
        let papers = match node {
            Some(node) => files.of_node(node),
            None => files.of_client().expect("a folder has papers for clients"),
        };
        if !renew && papers.cert.exists() && papers.key.exists() {
            kept += 1;
            continue;
        }
        let validity = Validity::days(days);
        let issued = match node {
            Some(node) => authority.node(node, validity),
            None => authority.client("client", validity),
        };
        put(&papers, &issued.map_err(Mistake::from)?, node.map(String::as_str))?;
        made += 1;
    }
    Ok((made, kept))
}

/// The one that is there, or a new one.
pub(super) fn authority(cert: &Path, key: &Path, name: &str) -> Result<Authority, Mistake> {
    let validity = Validity::days(AUTHORITY_DAYS);
    match (cert.exists(), key.exists()) {
        (false, false) => {
            let authority = Authority::new(name, validity).map_err(Mistake::from)?;
            write(key, &authority.issued().key, 0o600)?;
            write(cert, &authority.issued().cert, 0o644)?;
            Ok(authority)
        }
        (true, true) => {
            let shown = key.display();
            let text = fs::read_to_string(key).map_err(|error| Mistake(format!("cannot read {shown}: {error}")))?;
            Authority::again(&text, name, validity).map_err(|error| Mistake(format!("{shown}: {error}")))
        }
        (there, _) => {
            let (there, lost) = if there { (cert, key) } else { (key, cert) };
            let (there, lost) = (there.display(), lost.display());
            Err(Mistake(format!("{there} is there and {lost} is not: bring it, or begin in another folder")))
        }
    }
}

/// Puts papers into their place, once they are known to fit the authority's certificate.
pub(super) fn put(papers: &Files, issued: &Issued, node: Option<&str>) -> Result<(), Mistake> {
    let beside = |path: &Path| path.with_extension(format!("{}.new", path.extension().unwrap_or_default().display()));
    let new = Files { ca: papers.ca.clone(), cert: beside(&papers.cert), key: beside(&papers.key) };
    write(&new.key, &issued.key, 0o600)?;
    write(&new.cert, &issued.cert, 0o644)?;
    let sound = Papers::read(&new, node).map_err(Mistake::from);
    let moved = sound.and_then(|_| {
        let moved = fs::rename(&new.key, &papers.key).and_then(|()| fs::rename(&new.cert, &papers.cert));
        moved.map_err(|error| Mistake(format!("cannot write {}: {error}", papers.cert.display())))
    });
    if moved.is_err() {
        let _ = fs::remove_file(&new.key);
        let _ = fs::remove_file(&new.cert);
    }
    moved
}

/// Nobody else may read a key, from the moment when it is there.
pub(super) fn write(path: &Path, text: &str, mode: u32) -> Result<(), Mistake> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(mode);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Mistake(format!("cannot write {}: {error}", path.display())))
}

/// Says which papers of a cluster are here and sound, for `skein config check`.
pub(crate) fn check(config: &Config, node: Option<&str>) -> Result<(), Mistake> {
    let Some(certificates) = &config.tls else { return Ok(()) };
    let tell = |whose: &str, files: &Files, node: Option<&str>| -> Result<(), Mistake> {
        let papers = Papers::read(files, node).map_err(Mistake::from)?;
        let left = papers.expires().and_then(|end| end.duration_since(std::time::SystemTime::now()).ok());
        let days = left.map_or(String::new(), |left| format!(", for {} days", left.as_secs() / 86400));
        output::line(format_args!("{whose}: {} is sound{days}", files.cert.display()));
        Ok(())
    };
    if let Some(node) = node {
        return tell(&format!("node {node}"), &certificates.of_node(node), Some(node));
    }
    if certificates.cert.to_string_lossy().contains(NODE) {
        // A machine has what its own node needs, and one where all was made has everything.
        let is_here = |node: &&String| certificates.of_node(node).cert.exists();
        let mut here = config.nodes.keys().filter(is_here).peekable();
        if here.peek().is_none() {
            let cert = certificates.cert.display();
            return Err(Mistake(format!("no node has a certificate here, at {cert}: bring one, or make some")));
        }
        for node in here {
            tell(&format!("node {node}"), &certificates.of_node(node), Some(node))?;
        }
    } else {
        // Which node's it is, nobody has said.
        tell("a node", &certificates.of_node(""), None)?;
    }
    match certificates.of_client().filter(|files| files.cert.exists()) {
        Some(files) => tell("clients", &files, None),
        None => Ok(()),
    }
}
