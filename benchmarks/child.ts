/** Child processes that answer questions over Node's IPC channel: both ends. */
import { type ChildProcess, fork } from "node:child_process";
import { NotAvailable } from "./subject.ts";

interface Request {
  readonly id: number;
  readonly name: string;
  readonly argument: unknown;
}

interface Answer {
  readonly id: number;
  readonly value?: unknown;
  readonly error?: { readonly name: string; readonly message: string };
}

export interface Child {
  readonly pid: number;
  /** @throws what the child's handler threw, or that the child ended. */
  ask<T>(name: string, argument?: unknown): Promise<T>;
  /** Lets the child end by itself; kills it when that takes over 5 s. */
  stop(): Promise<void>;
}

interface Waiting {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

/** Starts the compiled module at `url` as a process of its own. It must call `serve`. */
export function startChild(url: URL): Child {
  const child = fork(url, { serialization: "advanced", stdio: ["ignore", "inherit", "inherit", "ipc"] });
  const waiting = new Map<number, Waiting>();
  let asked = 0;
  let ended = false;
  const exit = new Promise<void>((resolve) => {
    child.once("exit", (code, signal) => {
      ended = true;
      for (const each of waiting.values()) {
        each.reject(new Error(`${url.pathname} ended (${signal ?? code ?? "?"}) before it answered`));
      }
      waiting.clear();
      resolve();
    });
  });
  child.on("message", (message) => {
    const answer = message as Answer;
    const asker = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (answer.error === undefined) asker?.resolve(answer.value);
    else asker?.reject(asError(answer.error));
  });
  return {
    pid: child.pid ?? 0,
    ask: <T>(name: string, argument?: unknown) =>
      new Promise<T>((resolve, reject) => {
        if (ended) {
          reject(new Error(`${url.pathname} has ended`));
          return;
        }
        const id = ++asked;
        waiting.set(id, { resolve, reject });
        child.send({ id, name, argument } satisfies Request);
      }),
    stop: () => stop(child, exit),
  };
}

/** Starts one for as long as `run` needs it. */
export async function inChild<T>(url: URL, run: (child: Child) => Promise<T>): Promise<T> {
  const child = startChild(url);
  try {
    return await run(child);
  } finally {
    await child.stop();
  }
}

async function stop(child: ChildProcess, exit: Promise<void>): Promise<void> {
  if (child.connected) child.disconnect();
  const timer = setTimeout(() => child.kill("SIGKILL"), 5000);
  await exit;
  clearTimeout(timer);
}

function asError({ name, message }: { name: string; message: string }): Error {
  return name === "NotAvailable" ? new NotAvailable(message) : new Error(message);
}

type Handler = (argument: never) => unknown;

/** In the child: answers by `handlers`, and exits when the parent lets go. */
export function serve(handlers: Readonly<Record<string, Handler>>): void {
  process.on("message", (message) => {
    const { id, name, argument } = message as Request;
    Promise.resolve()
      .then(() => {
        const handler = handlers[name];
        if (handler === undefined) throw new Error(`no answer to ${name}`);
        return handler(argument as never);
      })
      .then(
        (value) => process.send?.({ id, value } satisfies Answer),
        (error: unknown) => {
          const { name, message } = error instanceof Error ? error : new Error(String(error));
          process.send?.({ id, error: { name, message } } satisfies Answer);
        },
      );
  });
  process.once("disconnect", () => process.exit(0));
}
