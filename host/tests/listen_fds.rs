//! A listening socket that is handed over, as systemd does it: whoever connects while no host runs, waits.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use command_fds::{CommandFdExt, FdMapping};

/// The host, on this socket.
fn start(listener: &TcpListener, data: &std::path::Path) -> Child {
    // The variable has to name the process that is to have the socket, which only that process knows.
    let serve = "LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" serve --log error --data \"$1\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", serve, env!("CARGO_BIN_EXE_greenroom")])
        .arg(data)
        .stdout(Stdio::piped());
    let socket = listener.try_clone().expect("the socket can be shared");
    command
        .fd_mappings(vec![FdMapping {
            parent_fd: socket.into(),
            child_fd: 3,
        }])
        .expect("3 is free in the child");
    command.spawn().expect("the host starts")
}

fn stop(mut host: Child) {
    let pid = host.id().to_string();
    let killed = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(killed.expect("kill runs").success());
    assert!(host.wait().expect("the host ends").success());
}

fn ask(listener: &TcpListener) -> TcpStream {
    let address = listener.local_addr().expect("it is bound");
    let mut stream = TcpStream::connect(address).expect("somebody listens");
    let wait = Some(Duration::from_secs(60));
    stream.set_read_timeout(wait).expect("a time can be set");
    stream
        .write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .expect("there is room for a request");
    stream
}

fn answer(mut stream: TcpStream) -> String {
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn a_restart_on_a_handed_over_socket_refuses_nobody() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let data = tempfile::tempdir().expect("a folder");
    let early = ask(&listener);
    let mut host = start(&listener, data.path());
    assert!(answer(early).starts_with("HTTP/1.1 200"));
    let stdout = host.stdout.take().expect("it is piped");
    let ready = BufReader::new(stdout).lines().next().expect("a line");
    let address = listener.local_addr().expect("it is bound");
    assert_eq!(
        ready.expect("it is text"),
        format!("READY http://{address}")
    );
    stop(host);

    let between = ask(&listener);
    let host = start(&listener, data.path());
    assert!(answer(between).starts_with("HTTP/1.1 200"));
    stop(host);
}
