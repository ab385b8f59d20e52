use proptest::prelude::*;

use super::*;

const SMALL: &str = "name: x\non: { manual: { params: { p: { default: a } } } }\nsteps:\n  a:\n    run: |\n      echo ${{ params.p }}\n    outputs: { o: f }\n  b: { needs: [a], if: failed(), deploy: { function: f, artifact: a.o } }\nfunctions: { f: { runtime: provided.al2, rollout: { stages: [1%, 50%], hold: 1m } } }\n";

fn codes(text: &str) -> Vec<String> {
    match load("p.yaml", text, &|_| None) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.code).collect(),
    }
}

#[test]
fn limits_hold_before_anything_is_read() {
    assert_eq!(codes(&format!("name: {}\n", "x".repeat(MAX_BYTES))), ["file-too-large"]);
    let lists = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    assert_eq!(codes(&lists(MAX_DEPTH)), ["not-a-pipeline"]);
    assert_eq!(codes(&lists(MAX_DEPTH + 1)), ["too-deep"]);
    assert_eq!(codes(&lists(10_000)), ["too-deep"]);
    assert_eq!(codes(&format!("{}{}", "{a: ".repeat(1_000), "}".repeat(1_000))), ["too-deep"]);
    assert_eq!(codes(&"- ".repeat(10_000)), ["too-deep"]);
    let text = "y".repeat(200_000);
    assert_eq!(codes(&format!("a: &a {text}\nb: [{}]\n", "*a,".repeat(40))), ["too-many-aliases"]);
    assert_eq!(codes("steps: *nowhere\n"), ["syntax"]);
    // Deep only through aliases.
    let mut deep = "a0: &a0 [x]\n".to_owned();
    for level in 1..80 {
        deep += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    assert_eq!(codes(&deep), ["too-deep"]);
}

#[test]
fn a_pipeline_is_lowered_with_its_defaults() {
    let pipeline = load("p.yaml", SMALL, &|_| None).expect("loads");
    assert_eq!(pipeline.steps.len(), 2);
    assert_eq!(pipeline.steps[0].timeout.as_secs(), 3600);
    let policy = &pipeline.functions[0].policy;
    assert_eq!((policy.hold.as_secs(), policy.patience.as_secs(), policy.prewarm, policy.keep.as_secs()), (60, 600, 1, 86_400));
    assert_eq!(pipeline.functions[0].target, crate::model::function::Target::Local);
}

#[test]
fn places_are_exact_in_every_style_of_text() {
    for (text, marked) in [
        ("name: x\nsteps:\n  a: { run: \"é ${{ event.x }}\" }\n", (3, 16)),
        ("name: x\nsteps:\n  a:\n    run: é ${{ event.x }}\n", (4, 12)),
        ("name: x\nsteps:\n  a:\n    run: |\n      one\n      é ${{ event.x }}\n", (6, 9)),
        ("name: x\r\nsteps:\r\n  a:\r\n    run: |\r\n      one\r\n      é ${{ event.x }}\r\n", (6, 9)),
        ("name: x\nsteps:\n  a:\n    run: |2-\n        indented\n      é ${{ event.x }}\n", (6, 9)),
        ("\u{feff}name: x\nsteps:\n  a:\n    run: é ${{ event.x }}\n", (4, 12)),
    ] {
        let errors = load("p.yaml", text, &|_| None).expect_err("event.x is unknown");
        let span = errors[0].span.expect("a place");
        assert_eq!((span.line, span.column), marked, "{text}");
    }
}

#[test]
fn an_action_sees_its_inputs_and_nothing_else() {
    let action = "name: scan\ninputs: { path: { required: true } }\nrun: scan ${{ inputs.path }} ${{ event.branch }}\n";
    let errors = load_action("scan", action).expect_err("event is not known in an action");
    assert_eq!(errors[0].code, "unknown-name");
    let pipeline = "name: x\nsteps:\n  a: { uses: scan }\n";
    let errors = load("p.yaml", pipeline, &|_| Some(action.to_owned())).expect_err("its error is shown");
    assert_eq!(errors[0].code, "invalid-action");
    assert!(errors[0].message.contains("actions/scan/action.yaml:3:"), "{}", errors[0].message);
    let errors = load("p.yaml", pipeline, &|_| Some(action.replace(" ${{ event.branch }}", ""))).expect_err("an input is missing");
    assert_eq!(errors[0].code, "missing-input");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_text_makes_loading_panic(text in any::<String>()) {
        let _ = load("p.yaml", &text, &|_| None);
    }

    #[test]
    fn no_yaml_like_text_makes_loading_panic(text in "[a-z:{}\\[\\],&*!|>%@`\"'#?~<\\- \\n\\t]{0,80}") {
        let _ = load("p.yaml", &text, &|_| None);
    }

    /// A good file with something put in, taken out or doubled at any place.
    #[test]
    fn no_mutation_makes_loading_panic(at in 0..SMALL.len(), length in 0..40_usize, with in "[a-z0-9:{}\\[\\]$%&*!|>\"' \\n]{0,12}", double in any::<bool>()) {
        let end = (at + length).min(SMALL.len());
        let kept = if double { &SMALL[at..end] } else { "" };
        let text = format!("{}{kept}{with}{kept}{}", &SMALL[..at], &SMALL[end..]);
        if let Err(errors) = load("p.yaml", &text, &|_| None) {
            prop_assert!(!errors.is_empty());
            for error in errors {
                let lines = text.lines().count() + 1;
                prop_assert!(error.span.is_none_or(|span| span.line >= 1 && span.column >= 1 && usize::try_from(span.line).is_ok_and(|line| line <= lines)), "{error:?}");
            }
        }
    }
}
