//! The first ten minutes: a file to begin with, and what is said of it.

use crate::{commands::run, schema, support::folder};

#[tokio::test]
async fn init_writes_a_file_that_check_takes() {
    let file = folder().join("outrigger.toml").display().to_string();
    let written = run(&["init", &file]).await;
    assert_eq!((written.code, written.out.as_str()), (Some(0), ""), "{}", written.err);
    assert!(
        written.err.contains("outrigger serve --config") && written.err.contains("--probe"),
        "{}",
        written.err
    );
    let checked = run(&["check", &file]).await;
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    assert!(checked.out.contains("sound, 0 faults, 0 warnings"), "{}", checked.out);
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(schema::faults(&text), "");
    assert_eq!(run(&["init", "-"]).await.out, text);
}

#[tokio::test]
async fn init_never_writes_over_a_file_unless_told_to() {
    let file = folder().join("outrigger.toml");
    std::fs::write(&file, "mine").unwrap();
    let name = file.display().to_string();
    let refused = run(&["init", &name]).await;
    assert_eq!(refused.code, Some(1));
    assert!(refused.err.contains(&name) && refused.err.contains("--force"), "{}", refused.err);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(run(&["init", &name, "--force"]).await.code, Some(0));
    assert!(std::fs::read_to_string(&file).unwrap().contains("[providers.openai]"));
    let nowhere = run(&["init", "/nowhere/at/all/outrigger.toml"]).await;
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.err.contains("cannot write /nowhere/at/all/outrigger.toml"), "{}", nowhere.err);
}
