/** A throw-away CA with a certificate for each end, so that the floor pays for TLS as the product does. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";

/** PEM texts. */
export interface Identity {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** P-256 keys, made by the `openssl` command (version 3 or later). */
export function makeIdentities(): { cloud: Identity; edge: Identity } {
  const directory = mkdtempSync(`${tmpdir()}/tidemark-bench-`);
  const make = (name: string, ...more: readonly string[]): void => {
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-noenc"];
    const files = ["-keyout", `${name}.key`, "-out", `${name}.crt`];
    const words = ["req", "-x509", "-days", "2", "-subj", `/CN=${name}`, ...key, ...files, ...more];
    execFileSync("openssl", words, { cwd: directory, stdio: ["ignore", "ignore", "pipe"] });
  };
  const read = (name: string): string => readFileSync(`${directory}/${name}`, "utf8");
  const issue = (name: string): Identity => {
    const extensions = ["basicConstraints=critical,CA:FALSE", "subjectAltName=IP:127.0.0.1"];
    make(name, "-CA", "ca.crt", "-CAkey", "ca.key", ...extensions.flatMap((each) => ["-addext", each]));
    return { ca: read("ca.crt"), cert: read(`${name}.crt`), key: read(`${name}.key`) };
  };
  try {
    make("ca");
    return { cloud: issue("cloud"), edge: issue("edge") };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
