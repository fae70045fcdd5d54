use super::*;

const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/node.example.toml");

fn parse(text: &str) -> Result<Partial, toml::de::Error> {
    toml::from_str(text)
}

fn file() -> Partial {
    Partial::from_file(Path::new(EXAMPLE)).unwrap()
}

#[test]
fn the_example_is_a_configuration() {
    let none = Partial::default();
    let config = Config::merge(&file(), &none, &none).unwrap();
    assert_eq!((config.node, config.nodes.len(), config.replicas), (1, 3, 3));
    assert_eq!(config.engine().groups.len(), config.groups);
}

#[test]
fn later_origins_win_and_are_told() {
    let variables = [("FLAREDB_CORES", "2"), ("FLAREDB_NODE", "2"), ("PATH", "/bin")];
    let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned()));
    let environment = Partial::from_environment(variables.into_iter()).unwrap();
    let flags = Partial { node: Some(3), ..Partial::default() };
    let config = Config::merge(&file(), &environment, &flags).unwrap();
    assert_eq!((config.node, config.cores, config.groups), (3, 2, 12));
    let told = config.describe();
    assert!(told.contains("node             flag         3\n"), "{told}");
    assert!(told.contains("cores            environment  2\n"), "{told}");
    assert!(told.contains("replicas         file         3\n"), "{told}");
    assert!(told.contains("groups           default      12\n"), "{told}");
}

#[test]
fn mistakes_are_named() {
    assert!(parse("nodee = 1").unwrap_err().message().contains("unknown field `nodee`"));
    assert!(parse("node = \"x\"").is_err());
    let variable = ("FLAREDB_NODEE".to_owned(), "1".to_owned());
    let error = Partial::from_environment([variable].into_iter()).unwrap_err();
    assert!(error.to_string().contains("FLAREDB_NODEE"));
    let none = Partial::default();
    let error = Config::merge(&none, &none, &none).unwrap_err();
    assert!(error.to_string().contains("`node` is missing"));
    let with = |change: fn(&mut Partial)| {
        let mut flags = Partial::default();
        change(&mut flags);
        Config::merge(&file(), &none, &flags).unwrap_err().to_string()
    };
    assert!(with(|p| p.node = Some(9)).contains("`node` cannot be `9`"));
    assert!(with(|p| p.groups = Some(20_000)).contains("`groups` cannot be `20000`"));
    assert!(with(|p| p.cores = Some(number_or_word("many"))).contains("`cores`"));
    assert!(with(|p| p.segment_bytes = Some(5)).contains("`segment_bytes`"));
    assert!(with(|p| p.snapshot_log_bytes = Some(5)).contains("`snapshot_log_bytes`"));
    assert!(with(|p| p.password = Some(String::new())).contains("`password`"));
}

#[test]
fn nodes_fit_on_a_line() {
    let all = nodes("2=10.0.0.2:7100/10.0.0.2:7000, 1=[::1]:7100/[::1]:7000").unwrap();
    assert_eq!((all[0].id, all[1].client.port()), (2, 7000));
    assert!(nodes("1=here/there").is_err());
}
