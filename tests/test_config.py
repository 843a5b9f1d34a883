from pathlib import Path

import pytest

from gdrl.config import RunConfig
from gdrl.errors import ConfigError
from gdrl.settings import known_keys, load, parse_override


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text('name = "small"\n[recipe.vae]\nbeta = 2.0\n')
    return path


def test_every_shipped_recipe_loads(recipes: Path) -> None:
    shipped = sorted(recipes.glob("*.toml"))
    assert {"contrastive_ica.toml", "demo.toml", "folder.toml", "gem.toml", "gem_paper.toml"} <= {
        path.name for path in shipped
    }
    for path in shipped:
        assert load(path).name == path.stem


def test_what_a_recipe_leaves_out_is_the_default(recipe: Path) -> None:
    config = load(recipe)
    assert config.recipe.vae.beta == 2.0
    assert config.recipe.vae.latent_dim == RunConfig().recipe.vae.latent_dim


@pytest.mark.parametrize("name", ["demo", "folder", "gem", "contrastive_ica"])
def test_the_schedule_goes_on_where_the_extractor_stopped(recipes: Path, name: str) -> None:
    recipe = load(recipes / f"{name}.toml").recipe
    extracting = {"beta_vae": recipe.vae, "contrastive_ica": recipe.unmixing}[recipe.extractor]
    stop, go_on = extracting.schedule[1], recipe.disgraph.schedule[0]
    assert 0 < stop == go_on < 1
    assert recipe.disgraph.schedule[1] == 1


def test_later_overrides_win(recipe: Path) -> None:
    config = load(recipe, ["recipe.vae.beta=8", "recipe.vae.beta=1.5", "name=hot"])
    assert (config.recipe.vae.beta, config.name) == (1.5, "hot")


ROW = """
[[recipe.study.rows]]
name = "first"
latents = {}
encoder_space = "sphere"
temperature = 0.1
score = "r2"
"""


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("latents = {}", 'latents = {space = "box"}', "rows[first].latents: conditional = vmf"),
        ("temperature = 0.1", "temperature = -1", "rows[first].temperature: input should be"),
        ("temperature = 0.1", "", "rows[first].temperature is missing"),
        ("temperature", "temprature", "rows[first].temprature; did you mean recipe.study.rows[]."),
        ("score", "qqqqqqq", "rows[first].qqqqqqq; known here: recipe.study.rows[].name, "),
        ("latents = {}", "latents = {dmi = 3}", "did you mean recipe.study.rows[].latents.dim?"),
        ('name = "first"', "name = 1", "rows[1].name: input should be a valid string"),
        ("[[recipe", ROW + "[[recipe", "recipe.study.rows has two rows first"),
    ],
)
def test_a_row_that_does_not_hold_is_named(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    recipe = tmp_path / "study.toml"
    recipe.write_text(ROW)
    assert load(recipe).recipe.study.rows[0].name == "first"
    recipe.write_text(ROW.replace(old, new, 1))
    with pytest.raises(ConfigError) as caught:
        load(recipe)
    assert complaint in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a=1", 1),
        ("a=1.5e-3", 1.5e-3),
        ("a=true", True),
        ("a=", ""),
        ("a=somers_d", "somers_d"),
        ('a="1"', "1"),
        ("a=/photos/of 2024", "/photos/of 2024"),
        ("a=http://host:1/v1?x=y", "http://host:1/v1?x=y"),
        ('a=["hat", "smiling"]', ["hat", "smiling"]),
        ("a={trainer = 1}", {"trainer": 1}),
        ("a=1\nb=2", "1\nb=2"),
    ],
)
def test_override_values_are_toml_or_bare_strings(text: str, value: object) -> None:
    assert parse_override(text).value == value


@pytest.mark.parametrize("text", ["beta", "=3", "recipe..beta=3", 'a=["hat"', "a={b"])
def test_malformed_overrides_are_quoted_back(text: str) -> None:
    with pytest.raises(ConfigError, match="override") as caught:
        parse_override(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("recipe.vae.betta=3", "did you mean recipe.vae.beta?"),
        ("recipe.vea.beta=3", "did you mean recipe.vae.beta?"),
        ("vae.beta=3", "did you mean recipe.vae.beta?"),
        ("beta=3", "did you mean recipe.vae.beta or recipe.unmixing.beta or recipe.disgraph.beta?"),
        ("nmae=x", "did you mean name?"),
        ("recipe.vae.zzz=3", "known here: recipe.vae.steps, recipe.vae.batch_size"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_known_one(
    recipe: Path, override: str, meant: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(recipe, [override])
    key = override.partition("=")[0]
    assert f"override {override}: unknown key {key}; {meant}" in str(caught.value)


def test_an_unknown_key_in_a_file_names_the_file(recipe: Path) -> None:
    recipe.write_text("[recipe.vae]\nlatent_dims = 3\n")
    with pytest.raises(ConfigError) as caught:
        load(recipe)
    assert str(caught.value).startswith(f"{recipe}: unknown key recipe.vae.latent_dims")
    assert "recipe.vae.latent_dim?" in str(caught.value)


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("recipe.vae.beta=lots", "recipe.vae.beta: input should be a valid number"),
        ("recipe.vae.beta=-1", "recipe.vae.beta: input should be greater than or equal to 0"),
        ("recipe.vae.beta=inf", "recipe.vae.beta: input should be a finite number"),
        ("recipe.graph.measure=pearson", "'conditional_difference', 'somers_d' or 'spearman'"),
        ("recipe.vae=3", "recipe.vae: input should be a valid dictionary"),
        ("name=3", "quote it: '\"3\"'"),
        ("name=Über", "name: string should match pattern"),
        ("recipe.dataset.source=photos", "recipe.attributes is empty"),
        ("recipe.vae.beta.x=3", "recipe.vae.beta is a value, not a section"),
        ("recipe.dataset.image_size=128", "set recipe.vae.net = residual"),
        ("recipe.extractor=ica", "'beta_vae' or 'contrastive_ica'"),
        ("recipe.unmixing.num_components=21", "does not fit into latent_dim = 20"),
        ("recipe.disgraph.adversarial_weight=0.8", "set both above 0, or both to 0"),
        ("recipe.disgraph.joint_kl_weight=0.6", "set both above 0, or both to 0"),
        ("recipe.disgraph.reconstruction_weight=0", "nothing trains the decoder"),
        ("recipe.disgraph.scored_per_batch=0", "set alignment_weight = 0"),
        ("recipe.disgraph.learn_edges=false", "set both to 0"),
        ("recipe.vae.schedule=[0.5, 0.5]", "recipe.vae.schedule: [0.5, 0.5] holds no steps"),
        ("recipe.disgraph.warm_start=false", "set schedule = [0, 1]"),
        ('recipe.attributes=["hat", "bald", "hat"]', "recipe.attributes names hat twice"),
        ('recipe.attributes=["hat", " hat "]', "recipe.attributes names hat twice; name it once"),
        ('recipe.attributes=["Hat", "hat"]', "recipe.attributes names hat twice; name it once"),
        ('recipe.attributes=["hat", " "]', "recipe.attributes names '', which is empty; leave it"),
        ('recipe.attributes=["None of  these"]', "names 'none of these', which is the answer"),
        ("s3.endpoint=localhost:8333", "s3.endpoint: 'localhost:8333' is no http:// or https://"),
        ("s3.endpoint=http://key:secret@host", "s3.endpoint: the URL holds a name or password"),
        ("recipe.mllm.endpoint=http://", "recipe.mllm.endpoint: 'http://' is no http:// or https"),
        ("recipe.mllm.endpoint=http://a@b", "recipe.mllm.endpoint: the URL holds a name or"),
        ("recipe.contrastive.latents.space=box", "recipe.contrastive.latents: conditional = vmf"),
        ("recipe.attributes=discovr", "input should be 'discover', not 'discovr'"),
    ],
)
def test_a_value_that_does_not_hold_is_explained(
    recipe: Path, override: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        load(recipe, [override])
    assert complaint in str(caught.value)


def test_attributes_are_a_list_of_trimmed_names_or_discovered(recipe: Path) -> None:
    listed = load(recipe, ['recipe.attributes=["long  hair ", "Hat"]'])
    assert listed.recipe.attributes == ("long hair", "Hat")
    assert load(recipe, ["recipe.attributes=discover"]).recipe.attributes == "discover"


def test_all_faults_are_told_at_once(recipe: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(recipe, ["recipe.vae.beta=lots", "recipe.vae.stepz=3"])
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_or_broken_recipe_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml: no such recipe"):
        load(tmp_path / "nowhere.toml")
    (tmp_path / "broken.toml").write_text("name = ")
    with pytest.raises(ConfigError, match=r"broken\.toml: not a TOML file"):
        load(tmp_path / "broken.toml")


def test_relative_paths_mean_the_working_directory(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    folder = ["recipe.dataset.source=photos", 'recipe.attributes=["hat"]']
    paths = ["recipe.mllm.model=models/x", "s3.ca_file=ca.pem", "s3.cache=~/cache"]
    config = load(recipe, [*folder, *paths])
    assert config.storage == str(tmp_path / "runs")
    assert config.recipe.dataset.source == str(tmp_path / "photos")
    assert config.recipe.mllm.model == str(tmp_path / "models/x")
    assert (config.s3.ca_file, config.s3.cache) == (str(tmp_path / "ca.pem"), "/home/me/cache")


def test_a_storage_that_ray_would_delete_is_refused(
    recipe: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "session/runtime_resources/working_dir_files/_ray_pkg_0123"
    copy.mkdir(parents=True)
    monkeypatch.chdir(copy)
    with pytest.raises(ConfigError, match=r"_0123/runs is in Ray's own copy .* all nodes see, or"):
        load(recipe)
    for storage in ("/mnt/runs", "s3://bucket/runs"):
        config = load(recipe, [f"storage={storage}", "recipe.mllm.model=models/x"])
        assert config.storage == storage
        assert config.recipe.mllm.model == str(copy / "models/x"), "it travels with the job"


def test_what_is_no_path_stays_as_it_is(recipe: Path) -> None:
    endpoint = ["recipe.mllm.endpoint=http://host:1/v1", "recipe.mllm.model=org/model"]
    config = load(recipe, ["storage=s3://bucket/runs", *endpoint])
    assert config.storage == "s3://bucket/runs"
    assert config.recipe.dataset.source == "faces"
    assert config.recipe.mllm.model == "org/model"


def test_settings_are_frozen_and_survive_json() -> None:
    config = RunConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.name = "other"  # type: ignore[misc]
    assert RunConfig.model_validate_json(config.model_dump_json()) == config


def test_known_keys_hold_sections_and_leaves() -> None:
    assert {"recipe", "recipe.vae", "recipe.vae.beta", "scale.mllm.num_replicas"} <= set(
        known_keys()
    )


def test_the_net_that_must_fit_the_images_is_the_extractors(recipe: Path) -> None:
    overrides = ["recipe.dataset.image_size=128", "recipe.extractor=contrastive_ica"]
    with pytest.raises(ConfigError, match=r"set recipe\.encoders\.net = residual"):
        load(recipe, overrides)
    config = load(recipe, [*overrides, "recipe.encoders.net=residual"])
    assert config.recipe.vae.net == "conv", "which nothing trains"
