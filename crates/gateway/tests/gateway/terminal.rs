//! At a terminal: colour and progress are for people, and colour for those of them alone who have not refused it.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::OpenOptionsExt,
    process::Stdio,
};

use rustix::{
    fs::OFlags,
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
};
use tokio::task::spawn_blocking;

use crate::{
    commands::SOUND,
    support::{file, outrigger, soon},
};

/// A terminal: the end that is read, and the end that a program writes to.
fn terminal() -> (File, File) {
    let near = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&near).unwrap();
    unlockpt(&near).unwrap();
    let name = ptsname(&near, Vec::new()).unwrap().into_string().unwrap();
    let not_ours = i32::try_from(OFlags::NOCTTY.bits()).unwrap();
    let far = OpenOptions::new().read(true).write(true).custom_flags(not_ours).open(name).unwrap();
    (near.into(), far)
}

/// What the program shows to people whose terminal is its standard error. One that serves is told to stop once it does.
async fn shown(args: &[&str], set: &[(&str, &str)]) -> String {
    let (mut near, far) = terminal();
    let mut program = outrigger();
    program.args(args).env("TERM", "xterm").env("NO_COLOR", "").envs(set.iter().copied());
    program.stdin(Stdio::null()).stdout(Stdio::null()).stderr(far).kill_on_drop(true);
    let mut child = program.spawn().unwrap();
    // The far end is the child's alone from here on, so it is shut when the child is gone.
    drop(program);
    let id = child.id().unwrap().to_string();
    let all = spawn_blocking(move || {
        let (mut told, mut piece) = (String::new(), [0; 4096]);
        let mut is_told_to_stop = false;
        while let Ok(length @ 1..) = near.read(&mut piece) {
            told.push_str(&String::from_utf8_lossy(&piece[..length]));
            if told.contains("admin http://") && !is_told_to_stop {
                is_told_to_stop = true;
                std::process::Command::new("kill").args(["-s", "TERM", &id]).status().unwrap();
            }
        }
        told
    });
    soon(child.wait()).await.unwrap();
    soon(all).await.unwrap()
}

/// **Long work shows how far it has come, and leaves nothing behind.** Fails if a terminal is shown no progress, or is left with a line of it.
#[tokio::test]
async fn long_work_shows_progress_at_a_terminal() {
    let path = file(SOUND).display().to_string();
    let told = shown(&["check", &path, "--probe"], &[]).await;
    assert!(told.contains("\rasking 1 endpoints") && told.contains("\rasked 1 of 1 endpoints"), "{told:?}");
    assert!(told.ends_with("\r\u{1b}[K"), "{told:?}");
    let short = ["simulate", "--clients", "2", "--rate", "2", "--seconds", "1"];
    let told = shown(&short, &[]).await;
    assert!(told.contains("played naive"), "{told:?}");
    let told = shown(&short, &[("OUTRIGGER_JSON", "1")]).await;
    assert_eq!(told, "", "who reads documents is no person");
}

/// **The log has colours at a terminal, unless its owner refuses them.**
#[tokio::test]
async fn the_log_is_coloured_at_a_terminal_that_has_colours_and_whose_owner_wants_them() {
    let path = file(SOUND).display().to_string();
    let serve = ["serve", "--config", &path, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
    for (name, value, is_coloured) in
        [("NO_COLOR", "", true), ("NO_COLOR", "1", false), ("TERM", "dumb", false)]
    {
        let told = shown(&serve, &[(name, value)]).await;
        assert!(told.contains("draining"), "{told:?}");
        assert_eq!(told.contains('\u{1b}'), is_coloured, "{name}={value}: {told:?}");
    }
}
