//! The TLS configuration: rustls with ring, trusting the system's roots or a file's.
//!
//! The system's roots come by rustls-platform-verifier, because reqwest's TLS feature brings it anyway, and because on
//! macOS, Windows and Android it asks the system itself, so that a company's own authority and its revocations hold.

use std::{path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;

use super::invalid;
use crate::{ErrorKind, TransportError};

/// Trusts nobody: for `http`, where reqwest wants a configuration that is never used.
pub(super) fn trusting_nobody() -> Result<ClientConfig, TransportError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(builder.map_err(no_tls)?.with_root_certificates(RootCertStore::empty()).with_no_client_auth())
}

/// Trusts what the system trusts. Reads files on some systems, so it may block for some milliseconds.
pub(super) fn trusting_system() -> Result<ClientConfig, TransportError> {
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    let builder = builder.map_err(no_tls)?.with_platform_verifier().map_err(no_tls)?;
    Ok(with_alpn(builder.with_no_client_auth()))
}

/// Trusts the authorities of a PEM file, and nobody else. Reads the file, so it may block.
pub(super) fn trusting_file(path: &Path) -> Result<ClientConfig, TransportError> {
    let named = |error: &dyn std::fmt::Display| invalid(format!("ca file {}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| named(&error))? {
        roots.add(certificate.map_err(|error| named(&error))?).map_err(|error| named(&error))?;
    }
    if roots.is_empty() {
        return Err(named(&"no certificate in it"));
    }
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions();
    Ok(with_alpn(builder.map_err(no_tls)?.with_root_certificates(roots).with_no_client_auth()))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// reqwest leaves a given configuration as it is, so that HTTP/2 is offered here.
fn with_alpn(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

fn no_tls(error: rustls::Error) -> TransportError {
    TransportError::new(ErrorKind::Tls).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_ca_file_is_named() {
        let error = trusting_file(Path::new("missing/ca.pem")).expect_err("no such file");
        assert_eq!(error.kind(), ErrorKind::InvalidRequest);
        let source = std::error::Error::source(&error).expect("a reason").to_string();
        assert!(source.contains("missing/ca.pem"), "{source}");
    }

    #[test]
    fn http_needs_no_roots() {
        assert!(trusting_nobody().is_ok());
    }
}
