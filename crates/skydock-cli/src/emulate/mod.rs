//! The verb `emulate`: a server program, run as AWS Lambda would, behind one of AWS's doors.

mod args;
mod authorizer;
mod contract;
mod door;
pub mod function;

use std::{
    ffi::{OsStr, OsString},
    io::Write as _,
    net::SocketAddr,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{Response, StatusCode},
    serve::ListenerExt,
};
use skydock::{Config, Host, Mode};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

pub use self::{args::Args, authorizer::Kind, door::Door};
use self::{
    authorizer::Authorizer,
    door::{Asked, Fault, Gateway, Site},
    function::{Function, Invocation, Settings, millis},
};
use crate::{
    listen::bind,
    screen::{self, BAD, FAINT},
    usage::Usage,
};

/// What a response says beside itself, to the one who tries it out.
#[derive(Debug, Clone)]
struct Remark(String);

/// A door with a function behind it.
#[derive(Clone)]
struct Front(Arc<Parts>);

struct Parts {
    door: Door,
    site: Site,
    function: Arc<Function>,
    authorizer: Option<Authorizer>,
    quiet: bool,
}

/// Runs until Ctrl-C or SIGTERM.
///
/// # Errors
/// [`Usage`] when it cannot be done as it was asked; else why the function does not start.
pub async fn run(args: Args) -> Result<ExitCode> {
    Usage::check(args::faults(&args))?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for Ctrl-C")?;
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for SIGHUP")?;
    let listener = bind(args.listen, "the emulator").await?;
    let front = front(&args)?;
    let served = async {
        for function in front.functions() {
            function.warm().await.map_err(|failure| {
                anyhow::anyhow!("{} does not start: {}", function.name(), failure.explain())
            })?;
        }
        front.serve(listener).await
    };
    let outcome = tokio::select! {
        outcome = served => outcome,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    };
    tokio::select! {
        () = front.end() => {}
        // the second signal does not wait for what is under way
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    outcome.map(|()| ExitCode::SUCCESS)
}

fn front(args: &Args) -> Result<Front> {
    let [program, arguments @ ..] = args.command.as_slice() else {
        return Err(Usage::new("name the server's program after --").into());
    };
    let by_door = if args.door.streams() {
        "streamed"
    } else {
        "buffered"
    };
    let how = args.lambda_response.as_deref().unwrap_or(by_door).to_owned();
    let settings = |program: &OsStr, arguments: &[OsString]| {
        let name = Path::new(program).file_stem().unwrap_or(program);
        let name = name.to_string_lossy().into_owned();
        Settings {
            arn: format!(
                "arn:aws:lambda:{}:{}:function:{name}",
                args.region,
                contract::ACCOUNT
            ),
            name,
            program: program.to_owned(),
            arguments: arguments.to_vec(),
            variables: Vec::new(),
            // a program refuses variables of ours that it does not know
            takes: |name| name != "SKYDOCK_PRINCIPALS",
            timeout: Duration::from_secs_f64(args.timeout),
            environments: args.environments,
            in_turn: args.in_turn,
            concurrency: args.concurrency,
            recycle: args.recycle,
            freezes: true,
            quiet: args.quiet,
        }
    };
    let authorizer = args.authorizer.as_deref().and_then(shlex::split).map(|words| {
        let mut words = words.into_iter().map(OsString::from);
        let program = words.next().unwrap_or_default();
        let mut settings = settings(&program, &words.collect::<Vec<_>>());
        settings.timeout = contract::AUTHORIZER_RUNS;
        settings.takes = |name| ["SKYDOCK_PRINCIPALS", "SKYDOCK_LOG"].contains(&name);
        settings.concurrency = 1;
        Authorizer::new(
            Function::new(settings),
            args.authorizer_type,
            Duration::from_secs(args.authorizer_ttl.into()),
        )
    });
    let mut settings = settings(program, arguments);
    settings.variables.push(("SKYDOCK_LAMBDA_RESPONSE", how));
    Ok(Front(Arc::new(Parts {
        door: args.door,
        site: Site {
            region: args.region.clone(),
            stage: args.stage.clone().unwrap_or_else(|| args.door.stage().to_owned()),
            multi_value: args.multi_value,
        },
        function: Function::new(settings),
        authorizer,
        quiet: args.quiet,
    })))
}

impl Front {
    fn functions(&self) -> impl Iterator<Item = &Arc<Function>> {
        let authorizer = self.0.authorizer.as_ref().map(Authorizer::function);
        authorizer.into_iter().chain([&self.0.function])
    }

    /// Listens as the door does, once its URL is told.
    async fn serve(&self, listener: TcpListener) -> Result<()> {
        let address = listener.local_addr().context("cannot tell the address")?;
        let stage = &self.0.site.stage;
        let prefix = if stage == door::DEFAULT_STAGE {
            String::new()
        } else {
            format!("/{stage}")
        };
        let url = format!("http://{address}{prefix}/mcp");
        let tell = || {
            let mut out = screen::out();
            writeln!(out, "{url}").and_then(|()| out.flush())
        };
        if self.0.door == Door::AgentcoreTarget {
            let mut config = Config::default();
            config.mode = Mode::Json;
            let gateway = Gateway::new(Arc::clone(&self.0.function));
            let mut listening = Host::new(gateway).with(config).listen(listener)?;
            tell()?;
            listening.wait().await;
            return Ok(());
        }
        let router = Router::new().fallback(handle).with_state(self.clone());
        // streamed answers are small writes
        let listener = listener.tap_io(|stream| {
            let _slower = stream.set_nodelay(true);
        });
        tell()?;
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        axum::serve(listener, service)
            .await
            .context("cannot listen any more")
    }

    /// Ends the functions.
    async fn end(&self) {
        futures::future::join_all(self.functions().map(|function| function.end())).await;
    }

    async fn answer(&self, request: Request, client: SocketAddr) -> Result<Response<Body>, Fault> {
        let Parts {
            door,
            site,
            function,
            authorizer,
            ..
        } = &*self.0;
        let asked = Asked::read(*door, site, request, client.ip()).await?;
        if *door == Door::Invoke {
            return door::invoke(function, &asked).await;
        }
        let passed = match authorizer {
            Some(authorizer) => Some(authorizer.pass(*door, site, &asked).await?),
            None => None,
        };
        let event = door.event(site, &asked, passed.as_ref()).to_string();
        if event.len() > contract::PAYLOAD_BYTES {
            return Err(Fault::RequestTooLarge(contract::PAYLOAD_BYTES));
        }
        let invocation = Invocation {
            event: event.into(),
            client_context: None,
            trace_id: asked.trace_id.clone(),
        };
        let answered = async { door.answer(site, function.invoke(invocation).await).await };
        let answered = tokio::time::timeout(door.waits(), answered).await;
        let mut response = answered.map_err(|_late| Fault::Late(door.waits()))??;
        door.sign(&asked, response.headers_mut());
        Ok(response)
    }

    fn tell(&self, request: &str, status: StatusCode, why: Option<&str>, took: Duration) {
        if self.0.quiet && why.is_none() {
            return;
        }
        let (status, took) = (status.as_u16(), millis(took));
        let line = match why {
            Some(why) => format!("{request} {BAD}{status}{BAD:#} {FAINT}{took}{FAINT:#} {why}"),
            None => format!("{FAINT}{request} {status} {took}{FAINT:#}"),
        };
        screen::note(&line);
    }
}

async fn handle(
    State(front): State<Front>,
    ConnectInfo(client): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response<Body> {
    let began = Instant::now();
    let line = format!("{} {}", request.method(), request.uri().path());
    if let Some(stranger) = door::stranger(request.headers(), request.uri().authority()) {
        let mut response = Response::new(Body::from("this emulator answers to localhost only\n"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let why = format!("it was called {stranger}, and answers to localhost and loopback addresses only");
        front.tell(&line, response.status(), Some(&why), began.elapsed());
        return response;
    }
    // the other doors hand the origin on, and what is behind them refuses it
    if front.0.door == Door::Invoke
        && let Some(page) = door::page(request.headers())
    {
        let mut response = Response::new(Body::from("no page may invoke a function\n"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        let why = format!("it was called by a page of {page}, and Invoke is for programs");
        front.tell(&line, response.status(), Some(&why), began.elapsed());
        return response;
    }
    let (response, why) = match front.answer(request, client).await {
        Ok(response) => {
            let remark = response
                .extensions()
                .get::<Remark>()
                .map(|remark| remark.0.clone());
            (response, remark)
        }
        Err(fault) => (front.0.door.refuse(&fault), Some(fault.explain())),
    };
    front.tell(&line, response.status(), why.as_deref(), began.elapsed());
    response
}
