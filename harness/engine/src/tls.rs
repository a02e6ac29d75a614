//! The run's own certificate authority: what stores, proxies and subjects of a run show each other.
//!
//! Made when the first scenario asks for it, in the run's private directory, and gone with it. A second
//! authority, which nobody is told to trust, stands for everybody else's.

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The names under which a store is found: whatever a subject is told.
const OWN_NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
/// A name that no store of ours has. `.test` is nobody's, by RFC 2606.
const OTHER_NAME: &str = "redis.another-host.test";

/// Why there are no certificates.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// A certificate or its key could not be made.
    #[error("cannot make the certificate `{name}`")]
    Make {
        /// Which.
        name: &'static str,
        /// Why.
        source: rcgen::Error,
    },
    /// The run's private directory could not be written.
    #[error("cannot write {}", .path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What a server shows to whoever connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Shown {
    /// Of the run's authority, for the names that it is found under, valid now.
    Good,
    /// The same of an authority that nobody was told to trust.
    UnknownAuthority,
    /// The same for another host's name.
    OtherHost,
    /// The same, but its time is over.
    Expired,
}

impl Shown {
    /// What a subject must not accept.
    pub const BAD: [Shown; 3] = [Shown::UnknownAuthority, Shown::OtherHost, Shown::Expired];

    /// In words, for a person to read.
    pub fn told(self) -> &'static str {
        match self {
            Shown::Good => "a certificate of the given authority for the right host",
            Shown::UnknownAuthority => "a certificate of an unknown authority",
            Shown::OtherHost => "a certificate for another host name",
            Shown::Expired => "an expired certificate",
        }
    }
}

/// A certificate with its key, as text and as files.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate, as PEM.
    pub certificate_pem: String,
    /// Its key, as PEM.
    pub key_pem: String,
    /// Where the certificate lies.
    pub certificate_file: PathBuf,
    /// Where its key lies.
    pub key_file: PathBuf,
}

/// See the module.
#[derive(Debug)]
pub struct Authority {
    /// The authority's own certificate, as PEM.
    pub ca_pem: String,
    /// Where it lies.
    pub ca_file: PathBuf,
    /// What a subject shows to a server that demands it.
    pub client: Identity,
    good: Identity,
    unknown_authority: Identity,
    other_host: Identity,
    expired: Identity,
}

type Issuer = CertifiedIssuer<'static, KeyPair>;

impl Authority {
    /// Makes both authorities and everything that they sign, and the directory that it is written to.
    pub fn create(dir: &Path) -> Result<Self, AuthorityError> {
        fs::create_dir_all(dir).map_err(|source| AuthorityError::Write {
            path: dir.to_owned(),
            source,
        })?;
        let make = |name, source| AuthorityError::Make { name, source };
        let own = issuer("touchstone run").map_err(|e| make("authority", e))?;
        let stranger = issuer("touchstone stranger").map_err(|e| make("stranger", e))?;
        let identity = |name: &'static str, issuer: &Issuer, params| {
            let (certificate_pem, key_pem) = signed(params, issuer).map_err(|e| make(name, e))?;
            Identity::write(dir, name, certificate_pem, key_pem)
        };
        let server = |names: &[&str]| server(names).map_err(|e| make("server", e));
        let mut late = server(&OWN_NAMES)?;
        late.not_before = date_time_ymd(2020, 1, 1);
        late.not_after = date_time_ymd(2021, 1, 1);
        let ca_file = dir.join("ca.pem");
        write(&ca_file, &own.pem(), 0o644)?;
        Ok(Self {
            ca_pem: own.pem(),
            ca_file,
            client: identity("client", &own, client().map_err(|e| make("client", e))?)?,
            good: identity("server", &own, server(&OWN_NAMES)?)?,
            unknown_authority: identity("unknown-authority", &stranger, server(&OWN_NAMES)?)?,
            other_host: identity("other-host", &own, server(&[OTHER_NAME])?)?,
            expired: identity("expired", &own, late)?,
        })
    }

    /// What a server shows.
    pub fn server(&self, shown: Shown) -> &Identity {
        match shown {
            Shown::Good => &self.good,
            Shown::UnknownAuthority => &self.unknown_authority,
            Shown::OtherHost => &self.other_host,
            Shown::Expired => &self.expired,
        }
    }
}

impl Identity {
    fn write(
        dir: &Path,
        name: &str,
        certificate_pem: String,
        key_pem: String,
    ) -> Result<Self, AuthorityError> {
        let certificate_file = dir.join(format!("{name}.pem"));
        let key_file = dir.join(format!("{name}.key"));
        write(&certificate_file, &certificate_pem, 0o644)?;
        write(&key_file, &key_pem, 0o600)?;
        Ok(Self {
            certificate_pem,
            key_pem,
            certificate_file,
            key_file,
        })
    }
}

fn write(path: &Path, text: &str, mode: u32) -> Result<(), AuthorityError> {
    let written = File::options()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| AuthorityError::Write {
        path: path.to_owned(),
        source,
    })
}

fn issuer(name: &str) -> Result<Issuer, rcgen::Error> {
    let mut params = named(name, &[])?;
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate()?)
}

fn server(names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let mut params = named(names[0], names)?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    Ok(params)
}

fn client() -> Result<CertificateParams, rcgen::Error> {
    let mut params = named("subject", &[])?;
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    Ok(params)
}

/// Valid for a time that no clock of a test machine is outside of; some clients refuse years beyond 2049.
fn named(common_name: &str, names: &[&str]) -> Result<CertificateParams, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2024, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn signed(params: CertificateParams, issuer: &Issuer) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::{PemIdentity, TlsClient, TlsServer};

    #[test]
    fn everything_that_it_makes_can_be_used_and_no_key_can_be_read_by_others() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a directory");
        let made = Authority::create(dir.path()).expect("an authority");
        let ca = made.ca_pem.as_bytes();
        for shown in [Shown::Good].into_iter().chain(Shown::BAD) {
            let identity = made.server(shown);
            let pem = PemIdentity {
                chain: identity.certificate_pem.as_bytes(),
                key: identity.key_pem.as_bytes(),
            };
            TlsServer::from_pem(pem, Some(ca)).expect("a server");
            TlsClient::from_pem(ca, "127.0.0.1", Some(pem)).expect("a client");
            let mode = fs::metadata(&identity.key_file)
                .expect("a key")
                .permissions();
            assert_eq!(mode.mode() & 0o777, 0o600);
        }
    }
}
