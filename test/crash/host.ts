/** One process of the product under test: kept running, killed and paused on purpose, watched otherwise. */
import { appendFileSync, readFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { Process } from "../e2e/processes.ts";

export interface HostFigures {
  readonly starts: number;
  /** From the start of the process to its `ready`, ms, in order; only where nothing else was done to it meanwhile. */
  readonly readyMs: readonly number[];
  /** The most that any of them held resident, MB; null where the system does not say. */
  readonly residentMb: number | null;
  /** How often it gave up, for which reason, and began again within the process. */
  readonly failures: Readonly<Record<string, number>>;
}

/** How the product says that it begins again, and why. */
const failure = /\bERROR\b.*\bcode=(\w+) startsAgainInMs=/g;

export class Host {
  readonly name: string;
  readonly #args: readonly string[];
  readonly #outputFile: string;
  readonly #surprises: string[] = [];
  readonly #failures = new Map<string, number>();
  readonly #readyMs: number[] = [];
  #process: Process | undefined;
  #ready: Promise<unknown> = Promise.resolve();
  #expectsEnd = false;
  #isDisturbed = false;
  #mayFail = false;
  #starts = 0;
  #residentKb: number | undefined;
  /** Each thing that is done to it waits for the one before. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(name: string, args: readonly string[], outputFile: string) {
    this.name = name;
    this.#args = args;
    this.#outputFile = outputFile;
  }

  get figures(): HostFigures {
    const residentMb = this.#residentKb === undefined ? null : Math.round(this.#residentKb / 1024);
    const failures = Object.fromEntries(this.#failures);
    return { starts: this.#starts, readyMs: this.#readyMs, residentMb, failures };
  }

  /** What it did that nobody asked for. */
  surprises(): string[] {
    const found = [...this.#surprises];
    for (const [code, count] of this.#failures) {
      const isExpected = this.#mayFail && (code === "DISK_FULL" || code === "LOG_COMMIT_FAILED");
      if (!isExpected) found.push(`${this.name} gave up and began again ${count} times: ${code}`);
    }
    return found;
  }

  /** Resolves when it is ready to serve. */
  async start(): Promise<void> {
    this.#begin();
    await this.#ready;
  }

  /** Ends it at once, and starts it again after so long. */
  kill(downMs: number): Promise<void> {
    return this.#inTurn(async () => {
      this.#expectsEnd = true;
      await this.#process?.end("SIGKILL");
      await delay(downMs);
      this.#begin();
    });
  }

  /** Stops it for so long where it stands. */
  async pause(forMs: number): Promise<void> {
    const paused = this.#process;
    this.#isDisturbed = true;
    paused?.signal("SIGSTOP");
    await delay(forMs);
    paused?.signal("SIGCONT");
  }

  /** Its disk fails: that it is slow says nothing, and it may give up and begin again. */
  mayFail(): void {
    this.#isDisturbed = true;
    this.#mayFail = true;
  }

  /** Resolves when it has said that it is ready. */
  async ready(): Promise<void> {
    await this.#last;
    await this.#ready;
  }

  /** Reads how much it holds. To be called now and then. */
  look(): void {
    try {
      const status = readFileSync(`/proc/${this.#process?.pid ?? 0}/status`, "utf8");
      const kb = Number(/^VmHWM:\s*(\d+) kB$/m.exec(status)?.[1]);
      if (Number.isFinite(kb)) this.#residentKb = Math.max(this.#residentKb ?? 0, kb);
    } catch {
      // It has ended, or this system has no /proc.
    }
  }

  /** Asks it to end. */
  stop(): Promise<void> {
    return this.#inTurn(async () => {
      this.#expectsEnd = true;
      const code = await this.#process?.end("SIGTERM");
      if (code !== 0) this.#surprises.push(`${this.name} was asked to end, and ended with ${String(code)}`);
    });
  }

  async destroy(): Promise<void> {
    this.#expectsEnd = true;
    await this.#process?.end("SIGKILL");
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#last.then(work);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  #begin(): void {
    const beganMs = performance.now();
    const process = new Process(this.#args);
    this.#process = process;
    this.#starts += 1;
    this.#expectsEnd = false;
    this.#isDisturbed = false;
    this.#ready = process.ready().then(
      () => {
        if (!this.#isDisturbed) this.#readyMs.push(Math.round(performance.now() - beganMs));
      },
      () => undefined,
    );
    void this.#watch(process);
  }

  async #watch(process: Process): Promise<void> {
    const ended = await process.ended;
    for (const [, code = ""] of process.output.matchAll(failure))
      this.#failures.set(code, (this.#failures.get(code) ?? 0) + 1);
    appendFileSync(
      this.#outputFile,
      `--- ${this.name}, start ${this.#starts}, ended: ${ended}\n${process.output}`,
    );
    if (this.#expectsEnd || process !== this.#process) return;
    const last = process.output.trim().split("\n").slice(-3).join(" | ");
    this.#surprises.push(`${this.name} ended by itself (${ended}): ${last}`);
    await delay(1000);
    if (!this.#expectsEnd && process === this.#process) this.#begin();
  }
}
