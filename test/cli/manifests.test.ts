import t from "tap";
import { parseManifests, readManifests } from "../../cli/manifests.ts";
import { TestWorld } from "./command-line.ts";

const model = `apiVersion: devices.kubeedge.io/v1beta1
kind: DeviceModel
metadata:
  name: thermo
spec: {}
`;

t.test("several objects to a file, with the line where each begins", async (t) => {
  const found = parseManifests(
    `# what it is\n---\n${model}---\n---\n# nothing here\n---\n${model.replace("name: thermo", "name: two\n  namespace: plant")}`,
    "devices.yaml",
  );
  t.same(
    found.map(({ source, kind, name, namespace }) => ({ source, kind, name, namespace })),
    [
      { source: "devices.yaml:3", kind: "DeviceModel", name: "thermo", namespace: undefined },
      { source: "devices.yaml:12", kind: "DeviceModel", name: "two", namespace: "plant" },
    ],
  );
});

t.test("JSON will do, and a List is what it lists", async (t) => {
  const [object] = parseManifests(model, "m");
  const list = { apiVersion: "v1", kind: "List", items: [object?.object, object?.object] };
  t.same(
    parseManifests(JSON.stringify(object?.object), "m.json").map(({ name }) => name),
    ["thermo"],
  );
  t.equal(parseManifests(JSON.stringify(list), "m.json").length, 2);
});

t.test("what YAML reads as text stays text", async (t) => {
  const [found] = parseManifests(model.replace("spec: {}", 'spec: {value: "25.0", on: yes}'), "m");
  t.same(found?.object["spec"], { value: "25.0", on: "yes" });
});

t.test("what is no object is refused, with its place", async (t) => {
  const cases: [string, RegExp][] = [
    ["a: [", /^f:? .*line 1/s],
    ["- 1", /^f:1: it is no Kubernetes object/],
    ["just text", /^f:1: it is no Kubernetes object/],
    ["kind: Device", /^f:1: apiVersion is missing/],
    ["apiVersion: v1", /^f:1: kind is missing/],
    ["apiVersion: v1\nkind: Device", /^f:1: metadata.name is missing/],
    ["apiVersion: v1\nkind: Device\nmetadata: {name: 5}", /^f:1: metadata.name is missing/],
    [
      "apiVersion: v1\nkind: Device\nmetadata: {name: a, namespace: 5}",
      /^f:1: metadata.namespace is not text/,
    ],
    ["a: 1\na: 2", /^f: .*unique/],
  ];
  for (const [text, message] of cases) {
    t.throws(() => parseManifests(text, "f"), { code: "INVALID", message }, JSON.stringify(text));
  }
  const bomb = ["a: &a [x,x,x,x,x,x,x,x,x]"];
  for (const [from, to] of ["ab", "bc", "cd", "de", "ef"])
    bomb.push(`${to}: &${to} [${`*${from},`.repeat(9)}]`);
  t.throws(
    () => parseManifests(bomb.join("\n"), "f"),
    { code: "INVALID" },
    "a few bytes that would unfold to millions",
  );
});

t.test("files, folders and standard input, in the order they are given", async (t) => {
  const directory = t.testdir({
    "one.yaml": model.replace("thermo", "one"),
    folder: {
      "b.json": JSON.stringify(parseManifests(model.replace("thermo", "b"), "")[0]?.object),
      "a.yml": model.replace("thermo", "a"),
      "notes.txt": "not a manifest",
      inner: { "c.yaml": model.replace("thermo", "c") },
    },
    empty: {},
    "nothing.yaml": "# nothing\n",
  });
  const world = new TestWorld({ directory, stdin: model });
  const found = await readManifests(["folder", "one.yaml", "-"], world);
  t.same(
    found.map(({ name }) => name),
    ["a", "b", "one", "thermo"],
  );
  await t.rejects(readManifests(["missing.yaml"], world), { code: "NOT_FOUND", message: /missing\.yaml/ });
  await t.rejects(readManifests(["empty"], world), { code: "NOT_FOUND" });
  await t.rejects(readManifests(["nothing.yaml"], world), { code: "INVALID" });
});
