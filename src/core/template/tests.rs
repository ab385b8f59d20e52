use serde_json::json;

use super::*;

fn known() -> Json {
    json!({ "event": { "branch": "a ${{ steps.x.outputs.y }} 'b'; $(rm -rf /)", "kind": "push" }, "params": { "n": 5, "yes": true } })
}

fn fill(text: &str, escape: Escape) -> Template {
    let template = Template::parse(text).expect("parses");
    template.fill(escape, &known(), &|path| path.first().is_some_and(|root| root == "steps"), &|_| None).expect("fills")
}

#[test]
fn text_is_text_and_expressions_are_filled_in() {
    let render = |text: &str, escape| Template::parse(text).expect("parses").render(escape, &known());
    assert_eq!(render("{{ not }} $x ${y} }} $", Escape::Shell).as_deref(), Ok("{{ not }} $x ${y} }} $"));
    assert_eq!(render("k=${{event.kind}}!", Escape::Shell).as_deref(), Ok("k='push'!"));
    assert_eq!(render("${{ params.n }} ${{ params.yes }}", Escape::Plain).as_deref(), Ok("5 true"));
    assert_eq!(render("${{ upper event.kind }}", Escape::Json).as_deref(), Ok("\"PUSH\""));
    assert_eq!(render("${{ slug event.branch }}", Escape::Shell).as_deref(), Ok("'a-steps-x-outputs-y-b-rm-rf'"));
    assert_eq!(render("${{ upper (slug event.kind) }}", Escape::Plain).as_deref(), Ok("PUSH"));
    assert_eq!(render("${{ json params.n }}", Escape::Plain).as_deref(), Ok("5"));
    assert_eq!(render("", Escape::Plain).as_deref(), Ok(""));
}

#[test]
fn what_is_filled_in_is_never_read_again() {
    let filled = fill("echo ${{ event.branch }} ${{ steps.x.outputs.y }}", Escape::Shell);
    let kept = serde_json::to_string(&filled).expect("serialises");
    let back: Template = serde_json::from_str(&kept).expect("reads back");
    assert_eq!(back, filled);
    let steps = json!({ "steps": { "x": { "outputs": { "y": "it's ${{ event.kind }}" } } } });
    let script = back.render(Escape::Shell, &steps).expect("renders");
    assert_eq!(script, r"echo 'a ${{ steps.x.outputs.y }} '\''b'\''; $(rm -rf /)' 'it'\''s ${{ event.kind }}'");
}

#[test]
fn inputs_are_put_in_piece_by_piece_and_each_is_quoted() {
    let script = Template::parse("scan ${{ inputs.path }} ${{ inputs.none }}").expect("parses");
    let path = fill("a b-${{ steps.x.outputs.y }}", Escape::Plain);
    let inputs = |name: &str| Some(if name == "path" { path.clone() } else { Template::default() });
    let filled = script.fill(Escape::Shell, &known(), &|path| path.first().is_some_and(|root| root == "steps"), &inputs).expect("fills");
    let steps = json!({ "steps": { "x": { "outputs": { "y": "c d" } } } });
    assert_eq!(filled.render(Escape::Shell, &steps).as_deref(), Ok("scan 'a b-''c d' ''"));
}

#[test]
fn an_unknown_name_is_an_error_and_never_an_empty_text() {
    for text in ["${{ event.nope }}", "${{ nope }}", "${{ upper event.nope }}", "${{ event }}", "${{ event.kind.deeper }}"] {
        let error = Template::parse(text).expect("parses").render(Escape::Plain, &known()).expect_err(text);
        assert!(!error.why.is_empty(), "{text}");
    }
}

#[test]
fn what_is_no_expression_is_refused_where_it_stands() {
    for (text, range) in [
        ("a ${{ }} b", 2..8),
        ("${{ a == b }}", 0..13),
        ("x ${{ open", 2..10),
        ("${{ #if a }}", 0..12),
        ("${{ {a} }}", 0..10),
        ("${{ &a }}", 0..9),
        ("${{ > partial }}", 0..16),
        ("${{ ../a }}", 0..11),
        ("${{ @root.a }}", 0..14),
        ("${{ a/b }}", 0..10),
        ("${{ lookup a b }}", 0..17),
        ("${{ upper a b }}", 0..16),
        ("${{ upper a=b }}", 0..16),
        ("${{ this }}", 0..11),
        ("${{ ! comment }}", 0..16),
        ("${{ a.[b] }}", 0..12),
        ("${{ else }}", 0..11),
    ] {
        let error = Template::parse(text).expect_err(text);
        assert_eq!(error.range, range, "{text}: {}", error.message);
    }
}

#[test]
fn references_are_listed_with_their_place() {
    let template = Template::parse("a ${{ event.branch }} ${{ upper steps.unit-tests.outputs.v }}").expect("parses");
    let paths: Vec<_> = template.references().into_iter().map(|(path, range)| (path.join("."), range.start)).collect();
    assert_eq!(paths, [("event.branch".to_owned(), 2), ("steps.unit-tests.outputs.v".to_owned(), 22)]);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_parsing_panic_and_text_without_expressions_is_kept(text in "[${} a-z'\"\\\\\n#.&]{0,60}") {
        match Template::parse(&text) {
            Ok(template) => {
                let _ = quotes(&template);
                if !text.contains("${{") {
                    proptest::prop_assert_eq!(template.render(Escape::Shell, &Json::Null).ok(), Some(text));
                }
            }
            Err(error) => proptest::prop_assert!(text.get(error.range).is_some()),
        }
    }
}
