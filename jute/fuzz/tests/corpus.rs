//! Every input that is committed, without a fuzzer: what was found once stays found.

use std::path::Path;

#[test]
fn the_committed_inputs_of_every_target_pass() {
    for (name, target) in jute_fuzz::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let entries =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut inputs: Vec<_> = entries.map(|entry| entry.expect("the folder can be read").path()).collect();
        inputs.sort();
        assert!(!inputs.is_empty(), "{name} has no corpus");
        for path in inputs {
            let input = std::fs::read(&path).expect("an input can be read");
            // The only line a failure leaves behind that says which input it was.
            println!("{}", path.display());
            target(&input);
        }
    }
}
