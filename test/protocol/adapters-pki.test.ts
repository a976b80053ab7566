import { execFileSync } from "node:child_process";
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import t from "tap";
import { readKubeconfig } from "../../protocol/adapters/admin-access.ts";
import { deriveKey, isIssuedBy, readNodeFiles, writeNodeFiles } from "../../protocol/adapters/credentials.ts";
import { writeFileAtomically } from "../../protocol/adapters/files.ts";
import { identityOfSubject, isNodeName } from "../../protocol/adapters/identity.ts";
import { adminKubeconfig } from "../../protocol/adapters/kubeconfig.ts";
import {
  ensureAuthority,
  ensureServerCertificate,
  issueNodeCertificate,
} from "../../protocol/adapters/pki.ts";

const yearMs = 365 * 86_400_000;

t.test(
  "the authority is made once, begins in 1970, outlives a wrong clock, and is closed to others",
  async (t) => {
    const pkiDir = join(t.testdir(), "cloud", "pki");
    const made = await ensureAuthority(pkiDir);
    const read = await ensureAuthority(pkiDir);
    t.same(read, made);
    const certificate = new X509Certificate(made.certificate);
    t.equal(certificate.subject, "CN=Tidemark CA");
    t.ok(certificate.ca);
    t.equal(Date.parse(certificate.validFrom), 0);
    t.equal(Date.parse(certificate.validTo), Date.UTC(2100, 0, 1));
    t.same(readdirSync(pkiDir).sort(), ["ca.crt", "ca.key"], "no temporary file is left");
    for (const directory of [pkiDir, join(pkiDir, "..")])
      t.equal(statSync(directory).mode & 0o777, 0o700, directory);
    t.equal(statSync(join(pkiDir, "ca.key")).mode & 0o777, 0o600);

    const elsewhere = t.testdir({ from1970: {}, from2100: {} });
    const from1970 = new X509Certificate((await ensureAuthority(join(elsewhere, "from1970"), 0)).certificate);
    t.ok(Date.parse(from1970.validTo) >= Date.UTC(2100, 0, 1));
    const inFuture = Date.UTC(2100, 5, 1);
    const from2100 = new X509Certificate(
      (await ensureAuthority(join(elsewhere, "from2100"), inFuture)).certificate,
    );
    t.ok(Date.parse(from2100.validTo) > inFuture + 19 * yearMs);
  },
);

t.test("an authority whose files do not belong together is refused, not replaced", async (t) => {
  const pkiDir = t.testdir();
  await ensureAuthority(pkiDir);
  const before = readFileSync(join(pkiDir, "ca.crt"), "utf8");
  writeFileSync(join(pkiDir, "ca.key"), "damaged");
  await t.rejects(ensureAuthority(pkiDir), { code: "CONFIGURATION", message: /ca\.crt and ca\.key/ });
  rmSync(join(pkiDir, "ca.key"));
  await t.rejects(ensureAuthority(pkiDir), { code: "CONFIGURATION" });
  t.equal(readFileSync(join(pkiDir, "ca.crt"), "utf8"), before);
});

t.test("a key without its certificate is an authority that was never finished", async (t) => {
  const pkiDir = t.testdir();
  await ensureAuthority(pkiDir);
  rmSync(join(pkiDir, "ca.crt"));
  const again = await ensureAuthority(pkiDir);
  t.same(await ensureAuthority(pkiDir), again);
});

t.test("the server's certificate covers what is advertised, and is kept while it does", async (t) => {
  const pkiDir = t.testdir();
  const first = await ensureServerCertificate(pkiDir, ["10.1.2.3", "fe80:0::1", "cloud.example.org"]);
  const certificate = new X509Certificate(first.cert);
  for (const name of ["localhost", "cloud.example.org", hostname()]) t.ok(certificate.checkHost(name), name);
  for (const address of ["127.0.0.1", "::1", "10.1.2.3", "fe80::1"])
    t.ok(certificate.checkIP(address), address);
  t.equal(certificate.checkHost("example.org"), undefined);
  t.ok(isIssuedBy(certificate, first.ca));

  const kept = await ensureServerCertificate(pkiDir, ["cloud.example.org"]);
  t.equal(kept.cert, first.cert);
  const wider = await ensureServerCertificate(pkiDir, ["192.168.7.7"]);
  t.not(wider.cert, first.cert);
  t.ok(new X509Certificate(wider.cert).checkIP("192.168.7.7"));

  const nearEnd = Date.parse(new X509Certificate(wider.cert).validTo) - 30 * 86_400_000;
  const renewed = await ensureServerCertificate(pkiDir, [], nearEnd);
  t.not(renewed.cert, wider.cert);
  t.ok(Date.parse(new X509Certificate(renewed.cert).validTo) > nearEnd + yearMs);

  writeFileSync(join(pkiDir, "server.key"), first.key);
  const mended = await ensureServerCertificate(pkiDir, []);
  t.ok(
    new X509Certificate(mended.cert).checkPrivateKey(createPrivateKey(mended.key)),
    "a torn pair is replaced",
  );

  rmSync(join(pkiDir, "ca.crt"));
  const underNew = await ensureServerCertificate(pkiDir, []);
  t.not(underNew.ca, mended.ca);
  t.ok(
    isIssuedBy(new X509Certificate(underNew.cert), underNew.ca),
    "a new authority means a new certificate",
  );

  await t.rejects(ensureServerCertificate(pkiDir, ["https://cloud:6443"]), { code: "CONFIGURATION" });
});

t.test("a node's certificate says who it is, as Kubernetes does", async (t) => {
  const pkiDir = t.testdir();
  const authority = await ensureAuthority(pkiDir);
  const issued = await issueNodeCertificate(authority, "edge-node-1.site");
  const certificate = new X509Certificate(issued.cert);
  t.equal(certificate.subject, "O=system:nodes\nCN=system:node:edge-node-1.site");
  t.same(certificate.keyUsage, ["1.3.6.1.5.5.7.3.2"], "it is for clients only");
  t.equal(Date.parse(certificate.validFrom), 0);
  t.ok(Math.abs(Date.parse(certificate.validTo) - Date.now() - yearMs) < 60_000);
  t.notOk(certificate.ca);

  const onUnsetClock = new X509Certificate((await issueNodeCertificate(authority, "n", 0)).cert);
  t.ok(Date.parse(onUnsetClock.validTo) > Date.UTC(2026, 11, 1), "it is not over once the clock is set");
});

t.test("a name that could leave its directory or its field is no node's", async (t) => {
  const authority = await ensureAuthority(t.testdir());
  const bad = [
    "",
    "..",
    "../x",
    "a/b",
    "A",
    "a_b",
    "-a",
    "a-",
    "a..b",
    "a\nb",
    "a,O=system:masters",
    "é",
    "a".repeat(64),
  ];
  for (const name of bad) {
    t.notOk(isNodeName(name), JSON.stringify(name));
    t.throws(() => issueNodeCertificate(authority, name), { code: "INVALID" });
  }
  const longest = [63, 63, 63, 61].map((length) => "a".repeat(length)).join(".");
  t.ok(isNodeName(longest));
  t.notOk(isNodeName(`${longest}a`));
  const issued = await issueNodeCertificate(authority, longest);
  t.same(identityOfSubject(new X509Certificate(issued.cert).toLegacyObject().subject), {
    kind: "node",
    node: longest,
    admission: 1,
  });
});

t.test("a certificate says of which of a node's admissions it is", async (t) => {
  const authority = await ensureAuthority(t.testdir());
  for (const admission of [1, 2, 17]) {
    const { cert } = await issueNodeCertificate(authority, "node-a", Date.now(), admission);
    const identity = identityOfSubject(new X509Certificate(cert).toLegacyObject().subject);
    t.same(identity, { kind: "node", node: "node-a", admission });
  }
  const named = { O: "system:nodes", CN: "system:node:node-a" };
  for (const OU of [
    "admission:",
    "admission:0",
    "admission:-1",
    "admission:1e3",
    "other",
    ["admission:2"],
    2,
  ]) {
    t.equal(identityOfSubject({ ...named, OU }), undefined, String(OU));
  }
});

t.test("whatever a subject says, the identity is a valid name of a known group, or none", async () => {
  const field = fc.oneof(
    fc.constantFrom("system:nodes", "system:masters", "system:node:a", "system:node:", "system:node:A", "x"),
    fc.string(),
    fc.array(fc.constantFrom("system:masters", "system:nodes")),
    fc.constant(undefined),
  );
  fc.assert(
    fc.property(field, field, (O, CN) => {
      const identity = identityOfSubject({ O, CN });
      if (identity?.kind === "admin") return O === "system:masters" && identity.name === CN;
      if (identity?.kind === "node")
        return O === "system:nodes" && isNodeName(identity.node) && CN === `system:node:${identity.node}`;
      return O !== "system:masters" || typeof CN !== "string";
    }),
  );
});

t.test("a node finds its files again, and says what is wrong with them", async (t) => {
  const root = t.testdir({ pki: {}, other: {} });
  const authority = await ensureAuthority(join(root, "pki"));
  const issued = await issueNodeCertificate(authority, "node-a");
  const directory = join(root, "edge", "node-a", "pki");
  await t.rejects(readNodeFiles(directory, "node-a"), {
    code: "CERTIFICATE_MISSING",
    message: /no ca\.crt, no node\.crt, no node\.key .*tidemark cert issue --node node-a/,
  });
  await writeNodeFiles(directory, issued);
  t.same(readdirSync(directory).sort(), ["ca.crt", "node.crt", "node.key"]);
  t.equal(statSync(directory).mode & 0o777, 0o700);
  t.equal(statSync(join(directory, "node.key")).mode & 0o777, 0o600);
  t.match(await readNodeFiles(directory, "node-a"), { ...issued, node: "node-a" });
  await t.rejects(readNodeFiles(directory, "node-b"), {
    code: "NODE_MISMATCH",
    message: /is for node node-a/,
  });

  const other = await ensureAuthority(join(root, "other"));
  writeFileSync(join(directory, "ca.crt"), other.certificate);
  await t.rejects(readNodeFiles(directory, "node-a"), { code: "CERTIFICATE_REFUSED" });
  writeFileSync(join(directory, "ca.crt"), issued.ca);
  writeFileSync(join(directory, "node.key"), other.key);
  await t.rejects(readNodeFiles(directory, "node-a"), { code: "CERTIFICATE_REFUSED" });
  rmSync(join(directory, "node.key"));
  await t.rejects(readNodeFiles(directory, "node-a"), {
    code: "CERTIFICATE_MISSING",
    data: { missing: ["node.key"] },
  });
});

t.test("the kubeconfig is kept while it serves, and follows the server and the authority", async (t) => {
  const pkiDir = t.testdir();
  const file = join(pkiDir, "admin.kubeconfig");
  const authority = await ensureAuthority(pkiDir);
  await t.rejects(readKubeconfig(file), { code: "NOT_FOUND" });
  const written = await adminKubeconfig({ authority, file, server: "https://127.0.0.1:6443" });
  t.equal(statSync(file).mode & 0o777, 0o600);
  t.same(await readKubeconfig(file), written);
  t.match(new X509Certificate(written.credentials.cert).subject, "O=system:masters\nCN=tidemark-admin");

  const again = await adminKubeconfig({ authority, file, server: "https://127.0.0.1:6443" });
  t.same(again, written);
  const moved = await adminKubeconfig({ authority, file, server: "https://127.0.0.1:7443" });
  t.equal((await readKubeconfig(file)).server, "https://127.0.0.1:7443");
  t.same(moved.credentials, written.credentials);

  const nearEnd = Date.now() + yearMs - 7 * 86_400_000;
  const renewed = await adminKubeconfig({ authority, file, server: moved.server, now: nearEnd });
  t.not(renewed.credentials.cert, written.credentials.cert);
  rmSync(join(pkiDir, "ca.crt"));
  const replaced = await ensureAuthority(pkiDir);
  const underNew = await adminKubeconfig({ authority: replaced, file, server: moved.server });
  t.equal(underNew.credentials.ca, replaced.certificate);

  for (const text of ["", "[", "apiVersion: v1\n", "current-context: x\ncontexts: []\n"]) {
    writeFileSync(file, text);
    await t.rejects(readKubeconfig(file), { code: "CONFIGURATION" }, JSON.stringify(text));
  }
});

t.test("a derived key depends on the key and the purpose, and not on how the key is written", async (t) => {
  const root = t.testdir({ one: {}, two: {} });
  const [one, two] = [await ensureAuthority(join(root, "one")), await ensureAuthority(join(root, "two"))];
  const hex = (pem: string, purpose: string): string => Buffer.from(deriveKey(pem, purpose)).toString("hex");
  const key = hex(one.key, "segment mac");
  t.equal(key.length, 64);
  t.equal(hex(one.key, "segment mac"), key);
  t.not(hex(one.key, "another"), key);
  t.not(hex(two.key, "segment mac"), key);
  const rewritten = createPrivateKey(one.key).export({ format: "pem", type: "sec1" }).toString();
  t.equal(hex(rewritten, "segment mac"), key);
});

t.test("a file is whole or as it was, even when it can't be put in place", async (t) => {
  const directory = t.testdir({ occupied: { file: "kept" } });
  await writeFileAtomically(join(directory, "text"), "first");
  await writeFileAtomically(join(directory, "text"), "second");
  t.equal(readFileSync(join(directory, "text"), "utf8"), "second");
  await t.rejects(writeFileAtomically(join(directory, "occupied"), "text"));
  t.same(readdirSync(directory).sort(), ["occupied", "text"], "nothing temporary is left");
});

t.test("only what makes certificates loads what makes certificates", async (t) => {
  const loaded = (module: string): string => {
    const url = new URL(`../../protocol/adapters/${module}.js`, import.meta.url);
    const script = `await import(${JSON.stringify(url)}); const { Module } = await import("node:module");
      console.log(Object.keys(Module._cache).some((path) => path.includes("@peculiar")));`;
    return execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" }).trim();
  };
  t.equal(loaded("pki"), "true");
  for (const module of [
    "websocket",
    "http",
    "http-client",
    "credentials",
    "identity",
    "environment",
    "admin-access",
  ]) {
    t.equal(loaded(module), "false", module);
  }
});
