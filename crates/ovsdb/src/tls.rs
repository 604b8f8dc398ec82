//! TLS as Open vSwitch uses it: both sides show certificates of a private CA, names in them are of no account unless
//! asked for.

use crate::config::TlsFiles;
use std::path::Path;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// Secures a connected stream. The error is in words for people.
pub(crate) async fn secure<S>(stream: S, host: &str, files: Option<&TlsFiles>) -> Result<TlsStream<S>, String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let files = files.ok_or("TLS needs a private key, a certificate and a CA certificate")?;
    let config = client_config(files)?;
    let name =
        ServerName::try_from(host.to_owned()).map_err(|_| format!("{host:?} is neither an address nor a DNS name"))?;
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.map_err(|error| format!("TLS failed: {error}"))
}

fn client_config(files: &TlsFiles) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&files.ca_certificate)? {
        roots.add(certificate).map_err(|error| format!("{}: {error}", files.ca_certificate.display()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| format!("{}: {error}", files.ca_certificate.display()))?;
    let key = PrivateKeyDer::from_pem_file(&files.private_key)
        .map_err(|error| format!("cannot read the private key {}: {error}", files.private_key.display()))?;
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        // "dangerous" is rustls's word for any verifier of one's own; this one still asks for a certificate of the CA.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { inner, verify_host: files.verify_host }))
        .with_client_auth_cert(certificates(&files.certificate)?, key)
        .map_err(|error| format!("{} and {}: {error}", files.certificate.display(), files.private_key.display()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let error = |error| format!("cannot read certificates from {}: {error}", path.display());
    let found = CertificateDer::pem_file_iter(path).map_err(error)?.collect::<Result<Vec<_>, _>>().map_err(error)?;
    if found.is_empty() { Err(format!("{} holds no certificate", path.display())) } else { Ok(found) }
}

/// The usual verification, from which a wrong name (found last, after the chain is proven) is forgiven.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    verify_host: bool,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.verify_host => Ok(ServerCertVerified::assertion()),
            result => result,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}
