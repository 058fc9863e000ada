//! Roots: certificates that may vouch for a host, beside those that the system trusts, and what to do
//! where none vouches.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use reqwest::Certificate;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{CertificateError, RootCertStore};

/// Certificates that the user trusts, each as its DER.
#[derive(Clone, Debug, Default)]
pub struct Roots(Vec<Vec<u8>>);

/// Why a file has no roots.
#[derive(Debug, thiserror::Error)]
pub enum NotRoots {
    /// It cannot be read.
    #[error("--ca-file: cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// No certificate is in it.
    #[error(
        "--ca-file: {path} has no certificate: PEM is wanted, which has lines from \
         -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----"
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// One of its certificates is none.
    #[error("--ca-file: certificate {number} of {path} cannot be used: {cause}")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which, counted from 1.
        number: usize,
        /// Why not.
        cause: String,
    },
}

impl Roots {
    /// Those of a file of PEM, all or none; none where no file is named.
    pub fn read_from(file: Option<&Path>) -> Result<Self, NotRoots> {
        let Some(path) = file.map(Path::to_owned) else { return Ok(Self::default()) };
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(source) => return Err(NotRoots::Unreadable { path, source }),
        };
        match Self::read(&text) {
            Ok(Self(none)) if none.is_empty() => Err(NotRoots::Empty { path }),
            Ok(roots) => Ok(roots),
            Err((number, cause)) => Err(NotRoots::Damaged { path, number, cause }),
        }
    }

    /// Those of a text, or the number of the one that cannot be used, and why.
    fn read(text: &[u8]) -> Result<Self, (usize, String)> {
        let mut known = RootCertStore::empty();
        let mut roots = Vec::new();
        for (at, found) in CertificateDer::pem_slice_iter(text).enumerate() {
            let found = found.map_err(|error| (at + 1, error.to_string()))?;
            known.add(found.clone()).map_err(|error| (at + 1, error.to_string()))?;
            roots.push(found.to_vec());
        }
        Ok(Self(roots))
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = Certificate> {
        self.0.iter().filter_map(|der| Certificate::from_der(der).ok())
    }
}

/// What to do about an error of TLS, in words that go on a message.
pub(super) fn advice(error: &(dyn StdError + 'static)) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(why) = of_tls(error)? else { return None };
    Some(match why {
        CertificateError::UnknownIssuer => {
            "; this machine trusts nobody who vouches for the host: if the network has a proxy that \
             reads along, name its certificate by --ca-file, else somebody may be in between"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "; another host answers than was asked for: check the address and the proxy"
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "; check the clock of this machine: timedatectl"
        }
        _ => return None,
    })
}

/// The error of TLS that this is, or that stands in it: what an I/O error is made of is not its source.
fn of_tls<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    error.downcast_ref().or_else(|| of_tls(error.downcast_ref::<io::Error>()?.get_ref()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_certificate_is_told() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let file = dir.path().join("ca.pem");
        let refusal = |text: &str| {
            std::fs::write(&file, text).expect("written");
            Roots::read_from(Some(&file)).expect_err(text).to_string()
        };
        let wrapped = |kind: &str, inside: &str| {
            format!("-----BEGIN {kind}-----\n{inside}\n-----END {kind}-----\n")
        };
        assert!(refusal("").contains("has no certificate"));
        assert!(refusal(&wrapped("PRIVATE KEY", "AAAA")).contains("has no certificate"));
        assert!(refusal(&wrapped("CERTIFICATE", "AAAA")).contains("certificate 1 of"));
        assert!(refusal(&wrapped("CERTIFICATE", "!")).contains("certificate 1 of"));
        let missing = Roots::read_from(Some(&dir.path().join("none"))).expect_err("missing");
        assert!(missing.to_string().contains("cannot read"), "{missing}");
        assert!(Roots::read_from(None).is_ok());
    }
}
