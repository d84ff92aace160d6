//! The examples of deployment: that they are well-formed, and say what the program understands.
#![allow(clippy::unwrap_used, reason = "helpers of tests may stop the test")]

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use landbridge_cli::check_config;
use landbridge_partner::{Partner, PartnerConfig};
use yaml_rust2::{Yaml, YamlLoader};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(path(name)).unwrap()
}

/// The documents of a file, anchors and merges resolved.
fn documents(name: &str) -> Vec<Yaml> {
    YamlLoader::load_from_str(&text(name)).unwrap().into_iter().map(merged).collect()
}

/// `<<` is a matter of the reader.
fn merged(yaml: Yaml) -> Yaml {
    match yaml {
        Yaml::Hash(hash) => {
            let mut all = yaml_rust2::yaml::Hash::new();
            let merge = Yaml::String("<<".to_owned());
            let (base, own): (Vec<_>, Vec<_>) = hash.into_iter().partition(|(key, _)| *key == merge);
            for (_, base) in base {
                all.extend(merged(base).into_hash().unwrap());
            }
            all.extend(own.into_iter().map(|(key, value)| (key, merged(value))));
            Yaml::Hash(all)
        }
        Yaml::Array(items) => Yaml::Array(items.into_iter().map(merged).collect()),
        other => other,
    }
}

fn words(yaml: &Yaml) -> Vec<String> {
    yaml.as_vec().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

fn of_kind(kind: &str) -> Yaml {
    documents("kubernetes.yaml").into_iter().find(|document| document["kind"].as_str() == Some(kind)).unwrap()
}

fn landbridge(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_landbridge")).args(arguments).output().unwrap()
}

/// A command line of an example, as far as the program reads it before it does anything.
fn assert_understood(arguments: &[String]) {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--help"]).collect();
    let output = landbridge(&arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Every variable in `text` that looks like one of ours is one.
fn assert_variables(text: &str) {
    let help = String::from_utf8(landbridge(&["partner", "--help"]).stdout).unwrap();
    let is_name = |c: char| c.is_ascii_uppercase() || c == '_';
    let names: Vec<&str> = text
        .match_indices("LANDBRIDGE_")
        .map(|(at, _)| text[at..].split(|c| !is_name(c)).next().unwrap())
        .collect();
    assert!(!names.is_empty());
    for name in names {
        assert!(help.contains(&format!("[env: {name}")), "{name} is no setting of the partner server");
    }
}

/// Whether a program is there; without it, its check is left out.
fn is_there(program: &str) -> bool {
    let found = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
        .any(|directory| directory.join(program).is_file());
    if !found {
        eprintln!("{program} is not there: what it would check is not checked");
    }
    found
}

#[test]
fn settings_are_settings_of_the_program() {
    assert_eq!(check_config(&text("partner.toml")), Ok(()));
    let map = of_kind("ConfigMap");
    assert_eq!(check_config(map["data"]["partner.toml"].as_str().unwrap()), Ok(()));
    for name in ["compose.yaml", "kubernetes.yaml", "landbridge-partner.service", "partner.toml"] {
        assert_variables(&text(name));
    }
}

#[test]
fn command_lines_are_understood() {
    let dockerfile = text("Dockerfile");
    let command = dockerfile.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    assert_understood(&words(&YamlLoader::load_from_str(command).unwrap()[0]));
    let deployment = of_kind("Deployment");
    assert_understood(&words(&deployment["spec"]["template"]["spec"]["containers"][0]["args"]));
    let unit = text("landbridge-partner.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let start: Vec<String> = start.split(' ').skip(1).map(str::to_owned).collect();
    assert_understood(&start);
}

/// What one file says must be what another one relies on.
#[test]
fn compose_fits_together() {
    let compose = documents("compose.yaml").remove(0);
    let settings = text("partner.toml");
    for server in ["partner-1", "partner-2"] {
        let server = &compose["services"][server];
        let secrets = words(&server["secrets"]);
        for (at, _) in settings.match_indices("/run/secrets/") {
            let name = settings[at..].trim_start_matches("/run/secrets/").split('"').next().unwrap();
            assert!(secrets.iter().any(|secret| secret == name), "{name} is not mounted");
            assert!(!compose["secrets"][name]["file"].is_badvalue(), "{name} comes from nowhere");
        }
        assert_eq!(server["stop_grace_period"].as_str(), Some("45s"), "running requests get 30 s");
        assert_eq!(
            (server["read_only"].as_bool(), words(&server["cap_drop"])),
            (Some(true), vec!["ALL".into()])
        );
    }
    let balancer = compose["services"]["balancer"]["networks"]["inside"]["ipv4_address"].as_str().unwrap();
    assert!(settings.contains(&format!("proxies = [\"{balancer}\"]")));
    let nginx = text("nginx.conf");
    assert!(nginx.contains("server partner-1:8480") && nginx.contains("server partner-2:8480"));
    for host in ["objects:9000", "nats:4222"] {
        let service = host.split(':').next().unwrap();
        assert!(settings.contains(host) && !compose["services"][service].is_badvalue());
    }
    // No secret is in the file.
    let own = text("compose.yaml");
    assert!(own.contains("${POSTGRES_PASSWORD:?}") && own.contains("${NATS_PASSWORD:?}"));
}

#[test]
fn kubernetes_fits_together() {
    let deployment = of_kind("Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&of_kind("Service")["spec"]["selector"], labels);
    assert_eq!(&of_kind("PodDisruptionBudget")["spec"]["selector"]["matchLabels"], labels);
    assert_eq!(&of_kind("NetworkPolicy")["spec"]["podSelector"]["matchLabels"], labels);
    assert!(
        deployment["spec"]["replicas"].as_i64()
            > of_kind("PodDisruptionBudget")["spec"]["minAvailable"].as_i64()
    );
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let before = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_i64().unwrap();
    assert!(pod["terminationGracePeriodSeconds"].as_i64().unwrap() >= before + 30);
    assert_eq!(pod["securityContext"]["runAsNonRoot"].as_bool(), Some(true));
    let volumes: Vec<&str> =
        pod["volumes"].as_vec().unwrap().iter().map(|volume| volume["name"].as_str().unwrap()).collect();
    for container in [container, &pod["initContainers"][0]] {
        let context = &container["securityContext"];
        assert_eq!(context["readOnlyRootFilesystem"].as_bool(), Some(true));
        assert_eq!(context["allowPrivilegeEscalation"].as_bool(), Some(false));
        for mount in container["volumeMounts"].as_vec().unwrap() {
            assert!(volumes.contains(&mount["name"].as_str().unwrap()), "{mount:?}");
        }
    }
    assert!(documents("kubernetes.yaml").iter().all(|document| document["kind"].as_str() != Some("Secret")));
}

/// Where the probes look, there is something.
#[tokio::test]
async fn probes_are_answered() {
    let partner = Partner::start(PartnerConfig {
        addr: "127.0.0.1:0".parse().unwrap(),
        admin_addr: "127.0.0.1:0".parse().unwrap(),
        insecure_dev_auth: true,
        ..PartnerConfig::default()
    })
    .await
    .unwrap();
    let deployment = of_kind("Deployment");
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let get = &container[probe]["httpGet"];
        assert_eq!(get["port"].as_str(), Some("admin"));
        let request =
            format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", get["path"].as_str().unwrap());
        let addr = partner.admin_addr();
        let answer = tokio::task::spawn_blocking(move || {
            let mut stream = std::net::TcpStream::connect(addr).unwrap();
            stream.write_all(request.as_bytes()).unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer
        });
        assert!(answer.await.unwrap().starts_with("HTTP/1.1 200 "), "{probe}");
    }
    partner.shutdown().await;
}

#[test]
fn systemd_takes_the_unit() {
    let unit = text("landbridge-partner.service");
    let seconds = unit.lines().find_map(|line| line.strip_prefix("TimeoutStopSec=")).unwrap();
    assert!(seconds.parse::<u32>().unwrap() > 30, "running requests get 30 s");
    if !is_there("systemd-analyze") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("landbridge-partner.service");
    std::fs::write(&file, unit.replace("/usr/local/bin/landbridge", env!("CARGO_BIN_EXE_landbridge")))
        .unwrap();
    let output = Command::new("systemd-analyze").arg("verify").arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // 0 is locked away, 10 may do everything; here in tenths.
    let exposure = ["security", "--offline=true", "--threshold=16"];
    let output = Command::new("systemd-analyze").args(exposure).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[test]
fn nginx_takes_the_configuration() {
    if !is_there("nginx") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["partner.example".to_owned()]).unwrap();
    std::fs::write(directory.path().join("chain.pem"), made.cert.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let place = directory.path().display().to_string();
    let configuration = text("nginx.conf")
        .replace("/tmp/", &format!("{place}/"))
        .replace("/etc/nginx/tls", &place)
        // The names of the other containers.
        .replace("partner-1:", "127.0.0.1:")
        .replace("partner-2:", "127.0.0.2:");
    let file = directory.path().join("nginx.conf");
    std::fs::write(&file, configuration).unwrap();
    let output = Command::new("nginx").args(["-t", "-p", &place, "-c"]).arg(&file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
