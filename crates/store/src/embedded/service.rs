//! The methods: from HTTP/2 requests to the tables and back.

use super::{Shared, check, fault, fault::Outcome, watch, writer::Writer};
use crate::wire::{self, path};
use http::{Request as HttpRequest, Response as HttpResponse};
use hyper::body::Incoming;
use std::{future::Future, marker::PhantomData, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, StreamingService, UnaryService},
};
use tonic_prost::ProstCodec;

/// What clients that look at the version need: the etcd that we are like.
const VERSION: &str = concat!("3.4.0+tuplenet-", env!("CARGO_PKG_VERSION"));

/// What a connection needs to serve.
#[derive(Clone)]
pub(super) struct Service {
    pub shared: Arc<Shared>,
    pub writer: Writer,
    /// Where clients reach us.
    pub url: Arc<str>,
}

/// A method that takes a message and gives one.
struct Unary<F, Q>(F, PhantomData<fn(Q)>);

impl<F, Fut, Q, R> UnaryService<Q> for Unary<F, Q>
where
    F: FnMut(Q) -> Fut,
    Fut: Future<Output = Result<R, Status>> + Send + 'static,
    R: 'static,
{
    type Response = R;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response<R>, Status>> + Send>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answer = (self.0)(request.into_inner());
        Box::pin(async move { answer.await.map(Response::new) })
    }
}

async fn unary<Q, R, F, Fut>(request: HttpRequest<Incoming>, method: F) -> HttpResponse<Body>
where
    Q: prost::Message + Default + Send + Sync + 'static,
    R: prost::Message + Send + Sync + 'static,
    F: FnMut(Q) -> Fut,
    Fut: Future<Output = Result<R, Status>> + Send + 'static,
{
    let codec = ProstCodec::<R, Q>::default();
    Grpc::new(codec)
        .max_decoding_message_size(check::MAX_REQUEST + 512 * 1024)
        .unary(Unary(method, PhantomData), request)
        .await
}

/// A method on streams: its own task reads the requests and sends the answers.
struct Both<F, Q, R>(F, usize, PhantomData<fn(Q) -> R>);

impl<F, Fut, Q, R> StreamingService<Q> for Both<F, Q, R>
where
    F: FnOnce(Streaming<Q>, mpsc::Sender<Result<R, Status>>) -> Fut + Clone,
    Fut: Future<Output = ()> + Send + 'static,
    R: Send + 'static,
{
    type Response = R;
    type ResponseStream = ReceiverStream<Result<R, Status>>;
    type Future = std::future::Ready<Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<Q>>) -> Self::Future {
        let (answers, stream) = mpsc::channel(self.1);
        tokio::spawn((self.0.clone())(request.into_inner(), answers));
        std::future::ready(Ok(Response::new(ReceiverStream::new(stream))))
    }
}

impl Service {
    /// Serves one request.
    pub async fn serve(self, request: HttpRequest<Incoming>) -> HttpResponse<Body> {
        match request.uri().path() {
            path::RANGE => unary(request, |range| self.clone().range(range)).await,
            path::PUT => unary(request, |put| self.clone().put(put)).await,
            path::DELETE_RANGE => unary(request, |delete| self.clone().delete(delete)).await,
            path::TXN => unary(request, |txn| self.clone().txn(txn)).await,
            path::COMPACT => unary(request, |compact| self.clone().compact(compact)).await,
            path::LEASE_GRANT => unary(request, |grant| self.clone().lease_grant(grant)).await,
            path::LEASE_REVOKE => unary(request, |revoke| self.clone().lease_revoke(revoke)).await,
            path::LEASE_TIME_TO_LIVE => unary(request, |ask| self.clone().lease_time_to_live(ask)).await,
            path::LEASE_LEASES => unary(request, |_: wire::LeaseLeasesRequest| self.clone().leases()).await,
            path::STATUS => unary(request, |_: wire::StatusRequest| self.clone().status()).await,
            path::MEMBER_LIST => unary(request, |_: wire::MemberListRequest| self.clone().members()).await,
            path::ALARM => unary(request, |_: wire::AlarmRequest| self.clone().alarms()).await,
            path::DEFRAGMENT => unary(request, |_: wire::DefragmentRequest| self.clone().defragment()).await,
            path::AUTHENTICATE => {
                unary(request, |_: wire::Nothing| {
                    std::future::ready(Err::<wire::Nothing, _>(fault::auth_not_enabled()))
                })
                .await
            }
            path::WATCH => {
                let shared = self.shared.clone();
                let serve = move |requests, answers| watch::serve(shared, requests, answers);
                let codec = ProstCodec::<wire::WatchResponse, wire::WatchRequest>::default();
                Grpc::new(codec).streaming(Both(serve, watch::QUEUE, PhantomData), request).await
            }
            path::LEASE_KEEP_ALIVE => {
                let shared = self.shared.clone();
                let serve = move |requests, answers| keep_alive(shared, requests, answers);
                let codec = ProstCodec::<wire::LeaseKeepAliveResponse, wire::LeaseKeepAliveRequest>::default();
                Grpc::new(codec).streaming(Both(serve, watch::QUEUE, PhantomData), request).await
            }
            other if other.starts_with(path::AUTH_SERVICE) => {
                Status::unimplemented("the embedded store has no users and roles: run etcd where you need them")
                    .into_http()
            }
            other => {
                Status::unimplemented(format!("the embedded store has no method {other}: run etcd where you need it"))
                    .into_http()
            }
        }
    }

    fn header(&self, revision: i64) -> Option<wire::ResponseHeader> {
        Some(self.shared.header(revision))
    }

    /// Reads off the async threads: the file may have to be waited for.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Shared) -> Outcome<T> + Send + 'static,
    ) -> Result<T, Status> {
        let shared = self.shared.clone();
        let outcome = tokio::task::spawn_blocking(move || read(&shared)).await;
        outcome.map_err(|_| Status::internal("the reading task failed"))?.map_err(Status::from)
    }

    async fn range(self, request: wire::RangeRequest) -> Result<wire::RangeResponse, Status> {
        let (mut answer, revision) = self
            .read(move |shared| {
                let tables = shared.file.read()?;
                Ok((tables.view().range(&request)?, tables.meta.revision))
            })
            .await?;
        answer.header = self.header(revision);
        Ok(answer)
    }

    async fn put(self, request: wire::PutRequest) -> Result<wire::PutResponse, Status> {
        check::size(&request)?;
        check::put(&request)?;
        let (mut answer, revision) = self.writer.submit(|editor| editor.put_one(request)).await?;
        answer.header = self.header(revision);
        Ok(answer)
    }

    async fn delete(self, request: wire::DeleteRangeRequest) -> Result<wire::DeleteRangeResponse, Status> {
        check::delete(&request)?;
        let (mut answer, revision) = self.writer.submit(|editor| editor.delete_one(request)).await?;
        answer.header = self.header(revision);
        Ok(answer)
    }

    async fn txn(self, request: wire::TxnRequest) -> Result<wire::TxnResponse, Status> {
        check::size(&request)?;
        check::txn(&request)?;
        let (mut answer, revision) = if check::is_read(&request) {
            self.read(move |shared| {
                let tables = shared.file.read()?;
                Ok((tables.view().read_txn(&request)?, tables.meta.revision))
            })
            .await?
        } else {
            self.writer.submit(|editor| editor.txn_one(request)).await?
        };
        answer.header = self.header(revision);
        Ok(answer)
    }

    async fn compact(self, request: wire::CompactionRequest) -> Result<wire::CompactionResponse, Status> {
        let change = move |editor: &mut super::edit::Editor<'_, '_>| {
            editor.compact(request.revision).map(|()| editor.meta.revision)
        };
        let revision = self.writer.submit(change).await?;
        Ok(wire::CompactionResponse { header: self.header(revision) })
    }

    async fn lease_grant(self, request: wire::LeaseGrantRequest) -> Result<wire::LeaseGrantResponse, Status> {
        let change = move |editor: &mut super::edit::Editor<'_, '_>| {
            Ok((editor.grant(request.id, request.ttl)?, editor.meta.revision))
        };
        let ((id, ttl), revision) = self.writer.submit(change).await?;
        Ok(wire::LeaseGrantResponse { header: self.header(revision), id, ttl, error: String::new() })
    }

    async fn lease_revoke(self, request: wire::LeaseRevokeRequest) -> Result<wire::LeaseRevokeResponse, Status> {
        let revision = self.writer.submit(move |editor| editor.revoke(request.id, false)).await?;
        Ok(wire::LeaseRevokeResponse { header: self.header(revision) })
    }

    async fn lease_time_to_live(
        self,
        request: wire::LeaseTimeToLiveRequest,
    ) -> Result<wire::LeaseTimeToLiveResponse, Status> {
        let header = self.header(*self.shared.revision.borrow());
        let Some((ttl, granted_ttl)) = self.shared.leases.time_left(request.id) else {
            return Ok(wire::LeaseTimeToLiveResponse {
                header,
                id: request.id,
                ttl: -1,
                granted_ttl: 0,
                keys: Vec::new(),
            });
        };
        let keys = if request.keys {
            self.read(move |shared| shared.file.read()?.attached(request.id)).await?
        } else {
            Vec::new()
        };
        Ok(wire::LeaseTimeToLiveResponse { header, id: request.id, ttl, granted_ttl, keys })
    }

    async fn leases(self) -> Result<wire::LeaseLeasesResponse, Status> {
        let leases = self.shared.leases.ids().into_iter().map(|id| wire::LeaseStatus { id }).collect();
        Ok(wire::LeaseLeasesResponse { header: self.header(*self.shared.revision.borrow()), leases })
    }

    async fn status(self) -> Result<wire::StatusResponse, Status> {
        let meta = self.read(|shared| Ok(shared.file.read()?.meta)).await?;
        let size = std::fs::metadata(&self.shared.path).map_or(0, |meta| i64::try_from(meta.len()).unwrap_or(i64::MAX));
        let index = u64::try_from(meta.index).unwrap_or(0);
        Ok(wire::StatusResponse {
            header: self.header(meta.revision),
            version: VERSION.to_owned(),
            db_size: size,
            leader: self.shared.file.identity.member,
            raft_index: index,
            raft_term: 1,
            raft_applied_index: index,
            errors: Vec::new(),
            db_size_in_use: size,
            is_learner: false,
        })
    }

    async fn members(self) -> Result<wire::MemberListResponse, Status> {
        let member = wire::Member {
            id: self.shared.file.identity.member,
            name: "embedded".to_owned(),
            peer_urls: Vec::new(),
            client_urls: vec![self.url.to_string()],
            is_learner: false,
        };
        Ok(wire::MemberListResponse { header: self.header(*self.shared.revision.borrow()), members: vec![member] })
    }

    async fn alarms(self) -> Result<wire::AlarmResponse, Status> {
        Ok(wire::AlarmResponse { header: self.header(*self.shared.revision.borrow()), alarms: Vec::new() })
    }

    /// Nothing to do: the file uses its free space again by itself.
    async fn defragment(self) -> Result<wire::DefragmentResponse, Status> {
        Ok(wire::DefragmentResponse { header: self.header(*self.shared.revision.borrow()) })
    }
}

async fn keep_alive(
    shared: Arc<Shared>,
    mut requests: Streaming<wire::LeaseKeepAliveRequest>,
    answers: mpsc::Sender<Result<wire::LeaseKeepAliveResponse, Status>>,
) {
    while let Ok(Some(request)) = requests.message().await {
        let ttl = shared.leases.renew(request.id).unwrap_or(0);
        let header = Some(shared.header(*shared.revision.borrow()));
        if answers.send(Ok(wire::LeaseKeepAliveResponse { header, id: request.id, ttl })).await.is_err() {
            return;
        }
    }
}
