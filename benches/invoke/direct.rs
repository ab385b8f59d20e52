//! The least that can call a handler: its process, and this program as its Runtime API.

use std::convert::Infallible;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc};

pub struct Direct {
    child: Child,
    events: mpsc::Sender<()>,
    answers: mpsc::Receiver<()>,
}

impl Direct {
    pub async fn start(handler: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (events, waiting) = mpsc::channel(1);
        let (answered, answers) = mpsc::channel(1);
        tokio::spawn(serve(listener, Arc::new(Mutex::new(waiting)), answered));
        let child = environment(Command::new(handler)).env("AWS_LAMBDA_RUNTIME_API", address.to_string()).spawn().expect("the handler starts");
        Self { child, events, answers }
    }

    pub async fn invoke(&mut self) -> Duration {
        let begun = Instant::now();
        self.events.send(()).await.expect("the handler is there");
        self.answers.recv().await.expect("the handler answers");
        begun.elapsed()
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the crate lambda_runtime insists on.
pub fn environment(mut command: Command) -> Command {
    command.env("AWS_LAMBDA_FUNCTION_NAME", "f").env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128").env("AWS_LAMBDA_FUNCTION_VERSION", "1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

async fn serve(listener: TcpListener, waiting: Arc<Mutex<mpsc::Receiver<()>>>, answered: mpsc::Sender<()>) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("an option of TCP");
        let (waiting, answered) = (waiting.clone(), answered.clone());
        let service = hyper::service::service_fn(move |request| {
            let (waiting, answered) = (waiting.clone(), answered.clone());
            async move { Ok::<_, Infallible>(answer(request, &waiting, &answered).await) }
        });
        tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(request: Request<Incoming>, waiting: &Mutex<mpsc::Receiver<()>>, answered: &mpsc::Sender<()>) -> Response<Full<Bytes>> {
    if request.uri().path().ends_with("/next") {
        waiting.lock().await.recv().await;
        let response = Response::builder().header("lambda-runtime-aws-request-id", "1").header("lambda-runtime-deadline-ms", "99999999999999");
        let response = response.header("lambda-runtime-invoked-function-arn", "arn:aws:lambda:local:000000000000:function:f:1");
        return response.body(Full::from(r#"{"rawPath":"/orders"}"#)).expect("a response");
    }
    request.into_body().collect().await.expect("a whole answer");
    answered.send(()).await.expect("somebody waits for it");
    Response::builder().status(202).body(Full::from(r#"{"status":"OK"}"#)).expect("a response")
}
