use super::*;

fn read(text: &str) -> Node {
    parse(text, Path::new("f.yaml")).unwrap()
}

fn fault(text: &str) -> String {
    parse(text, Path::new("f.yaml")).unwrap_err().to_string()
}

#[test]
fn plain_scalars_are_resolved_and_keep_their_text() {
    let cases = [
        ("8300", Value::Int(8300)),
        ("'8300'", Value::String("8300".into())),
        ("0x83", Value::Int(0x83)),
        ("EF00", Value::String("EF00".into())),
        ("1e3", Value::Float(1000.0)),
        ("-5", Value::Int(-5)),
        ("--5", Value::String("--5".into())),
        ("1.2.3", Value::String("1.2.3".into())),
        ("8MiB", Value::String("8MiB".into())),
        ("100%", Value::String("100%".into())),
        ("inf", Value::String("inf".into())),
        ("-", Value::List(vec![Node::new(Place::at("f.yaml", 1, 2), Value::Null)])),
        ("yes", Value::Bool(true)),
        ("True", Value::Bool(true)),
        ("~", Value::Null),
        ("\"yes\"", Value::String("yes".into())),
        ("!!str 12", Value::String("12".into())),
        ("! 12", Value::String("12".into())),
        ("!!float 12", Value::Float(12.0)),
        ("99999999999999999999", Value::Float(1e20)),
        ("", Value::Null),
    ];
    for (text, value) in cases {
        let node = read(text);
        assert_eq!(node.value, value, "{text:?}");
    }
    assert_eq!(read("0x83").text(), Some("0x83"));
    assert_eq!(read("EF00").text(), Some("EF00"));
    assert_eq!(read("1e3").text(), Some("1e3"));
    assert_eq!(read("0700").text(), Some("0700"));
    assert_eq!(read("'8300'").text(), Some("8300"));
    assert_eq!(read("[]").text(), None);
}

#[test]
fn places_count_from_one() {
    let node = read("# comment\na:\n  - b: 1\n    c: [x, y]\n");
    let list = node.get("a").unwrap().as_list().unwrap();
    let c = list[0].get("c").unwrap();
    assert_eq!(c.place, Place::at("f.yaml", 4, 8));
    assert_eq!(c.as_list().unwrap()[1].place, Place::at("f.yaml", 4, 12));
    assert_eq!(list[0].get("b").unwrap().place, Place::at("f.yaml", 3, 8));
    assert_eq!(node.as_map().unwrap()[0].0.place, Place::at("f.yaml", 2, 1));
    assert_eq!(list[0].place, Place::at("f.yaml", 3, 5));
}

#[test]
fn json_is_read_tabs_and_all() {
    let node =
        read("{\n\t\"install\":{\"a\":null,\n\t\t\"b\": [1, 2.5, true]},\n\t\"url\":\"http:\\/\\/x\\u0041\"\n}\n");
    assert_eq!(node.to_json(), serde_json::json!({"install": {"a": null, "b": [1, 2.5, true]}, "url": "http://xA"}));
}

#[test]
fn aliases_and_merge_keys_are_resolved() {
    let node = read("base: &b {type: ext4, label: x}\none:\n  <<: *b\n  label: y\ntwo: *b\n");
    assert_eq!(node.get("one").unwrap().to_json(), serde_json::json!({"type": "ext4", "label": "y"}));
    assert_eq!(node.get("two").unwrap().to_json(), serde_json::json!({"type": "ext4", "label": "x"}));
    let list = read("a: &a {k: 1}\nb: &b {k: 2, l: 3}\nc:\n  <<: [*a, *b]\n");
    assert_eq!(list.get("c").unwrap().to_json(), serde_json::json!({"k": 1, "l": 3}));
    assert_eq!(read("'<<': 1").get("<<").unwrap().as_int(), Some(1));
    assert_eq!(read("- <<").to_json(), serde_json::json!(["<<"]));
    assert!(fault("<<: 3").contains("takes a map"));
}

#[test]
fn mistakes_are_faults_with_a_position() {
    assert_eq!(fault("a: 1\nb: 2\na: 3\n"), "f.yaml:3:1: the key 'a' stands twice in the same map, first in line 1");
    assert!(fault("a: [1, 2\nb: 3\n").starts_with("f.yaml:2:"), "{}", fault("a: [1, 2\nb: 3\n"));
    assert!(fault("a: b: c").starts_with("f.yaml:1:"));
    assert_eq!(fault("a: 1\n---\nb: 2\n"), "f.yaml:2:1: a second document begins here; only one is expected");
    assert_eq!(fault("a: !thing 1"), "f.yaml:1:4: the tag !thing is not known here");
    assert!(fault("? [a, b]\n: 1\n").contains("cannot be a key"));
    assert!(fault("a: &x [*x]").contains("inside of what it refers to"));
    assert!(fault(&"[".repeat(200)).contains("nested deeper"));
    assert!(fault("a: *nowhere").starts_with("f.yaml:1:"));
}

#[test]
fn aliases_cannot_explode() {
    let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
    for i in 1..9 {
        let item = format!("*a{}", i - 1);
        text.push_str(&format!("a{i}: &a{i} [{}]\n", vec![item; 10].join(", ")));
    }
    assert!(fault(&text).contains("aliases copy more than"));
}
