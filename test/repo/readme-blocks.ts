/**
 * The commands that a Markdown document shows, as something to run: blocks fenced as `console`, in which a line
 * `$ command` is typed (lines after it that start with `> ` continue it) and the lines up to the next command are
 * what it prints. In those, `…` stands for anything within a line, and a line of only `…` for any number of lines.
 * A command without lines to print may print anything. Commands have to succeed.
 *
 * HTML comments right before a block change how it is run:
 *
 *     <!-- run: skip REASON -->            not at all
 *     <!-- run: background until "TEXT" --> its one command goes on; the next is typed once TEXT has been printed
 *     <!-- run: cwd FOLDER -->             in that folder
 *     <!-- run: exit 3 -->                 its last command ends with that code
 *     <!-- run: limit 60s -->              the time each command has
 *     <!-- run: eventually -->             its commands are typed again until they print what is shown
 *     <!-- run: file NAME -->              (any language) nothing is typed: the block is a file, to be saved
 *
 * and one stands for itself: `<!-- run: interrupt -->` is Ctrl-C in the latest background command, which must then
 * end, and well.
 */

export interface Step {
  /** In the document, from 1. */
  readonly line: number;
  readonly command: string;
  readonly expected: readonly string[];
}

export interface Block {
  readonly line: number;
  readonly kind: "commands" | "file" | "interrupt";
  readonly steps: readonly Step[];
  readonly options: BlockOptions;
  /** What a `file` block holds. */
  readonly content: string;
}

export interface BlockOptions {
  readonly skip?: string;
  readonly backgroundUntil?: string;
  readonly cwd?: string;
  readonly exit?: number;
  readonly limitMs?: number;
  readonly eventually?: boolean;
  readonly file?: string;
}

const shellLanguages = new Set(["sh", "bash", "shell", "zsh", "shell-session"]);

/** One directive's text as an option of the block it precedes. Throws for one that is not known. */
function optionOf(text: string, line: number): BlockOptions {
  const [, word = "", rest = ""] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
  const until = /^until "(.+)"$/.exec(rest)?.[1];
  const seconds = /^(\d+)s$/.exec(rest)?.[1];
  if (word === "skip" && rest) return { skip: rest };
  if (word === "background" && until !== undefined) return { backgroundUntil: until };
  if (word === "cwd" && rest) return { cwd: rest };
  if (word === "exit" && /^\d+$/.test(rest)) return { exit: Number(rest) };
  if (word === "limit" && seconds !== undefined) return { limitMs: Number(seconds) * 1000 };
  if (word === "eventually" && !rest) return { eventually: true };
  if (word === "file" && rest) return { file: rest };
  throw new Error(`line ${line}: not a directive: ${text}`);
}

/** The blocks of a document to be run, in order. Throws for a directive that is not known or stands before nothing. */
export function parseBlocks(markdown: string): Block[] {
  const lines = markdown.split("\n");
  const blocks: Block[] = [];
  let options: BlockOptions = {};
  let optionsLine = 0;
  for (let index = 0; index < lines.length; index++) {
    const text = lines[index] ?? "";
    const line = index + 1;
    const directive = /^\s*<!-- run: (.+?) -->\s*$/.exec(text)?.[1];
    const fence = /^(\s*)(`{3,})(\S*)/.exec(text);
    if (directive === "interrupt") {
      blocks.push({ line, kind: "interrupt", steps: [], options: {}, content: "" });
    } else if (directive !== undefined) {
      options = { ...options, ...optionOf(directive, line) };
      optionsLine = line;
    } else if (fence !== null) {
      const [, indent = "", ticks = "", language = ""] = fence;
      const content: string[] = [];
      for (index++; index < lines.length && lines[index]?.trim() !== ticks; index++) {
        content.push((lines[index] ?? "").slice(indent.length));
      }
      blocks.push(...blockOf({ line, language, content, options }));
      options = {};
      optionsLine = 0;
    } else if (text.trim() !== "" && optionsLine > 0) {
      throw new Error(`line ${optionsLine}: a directive stands right before a block`);
    }
  }
  if (optionsLine > 0) throw new Error(`line ${optionsLine}: a directive stands right before a block`);
  return blocks;
}

interface Fenced {
  readonly line: number;
  readonly language: string;
  readonly content: readonly string[];
  readonly options: BlockOptions;
}

function blockOf({ line, language, content, options }: Fenced): Block[] {
  if (options.file !== undefined) {
    return [{ line, kind: "file", steps: [], options, content: `${content.join("\n")}\n` }];
  }
  if (shellLanguages.has(language) && options.skip === undefined) {
    throw new Error(`line ${line}: commands stand in blocks of \`console\`, not of \`${language}\``);
  }
  if (language !== "console") {
    if (Object.keys(options).length === 0 || options.skip !== undefined) return [];
    throw new Error(`line ${line}: a directive stands before a block that is not \`console\``);
  }
  const steps = stepsOf(content, line + 1);
  if (steps.length === 0) throw new Error(`line ${line}: a \`console\` block without a command`);
  if (options.backgroundUntil !== undefined && steps.length > 1) {
    throw new Error(`line ${line}: a background block has one command`);
  }
  return [{ line, kind: "commands", steps, options, content: "" }];
}

function stepsOf(content: readonly string[], firstLine: number): Step[] {
  const steps: { line: number; command: string; expected: string[] }[] = [];
  for (const [index, text] of content.entries()) {
    const current = steps.at(-1);
    if (text.startsWith("$ ")) {
      steps.push({ line: firstLine + index, command: text.slice(2), expected: [] });
    } else if (current === undefined) {
      throw new Error(`line ${firstLine + index}: output before the first command`);
    } else if (current.expected.length === 0 && /^>( |$)/.test(text)) {
      current.command += `\n${text.slice(2)}`;
    } else {
      current.expected.push(text);
    }
  }
  return steps.map((step) => ({ ...step, expected: trimBlankEnd(step.expected) }));
}

function trimBlankEnd(lines: readonly string[]): string[] {
  const last = lines.findLastIndex((line) => line.trim() !== "");
  return lines.slice(0, last + 1).map((line) => line.trimEnd());
}

// oxlint-disable-next-line no-control-regex -- an escape character is what is looked for
const colours = /\u001B\[[0-9;]*[A-Za-z]/g;

/** What was printed, as lines to compare: no colours, no blanks at the ends. */
export function outputLines(output: string): string[] {
  return trimBlankEnd(output.replaceAll(colours, "").split(/\r?\n/));
}

/** Whether the output is what the document shows, `…` standing for anything. Nothing shown matches anything. */
export function matches(expected: readonly string[], output: string): boolean {
  if (expected.length === 0) return true;
  const pattern = expected.map((line) => (line.trim() === "…" ? "(?:.*\n)*?" : `${patternOf(line)}\n`));
  return new RegExp(`^${pattern.join("")}$`).test(
    outputLines(output)
      .map((line) => `${line}\n`)
      .join(""),
  );
}

function patternOf(line: string): string {
  const pieces = line.split("…").map((piece) => piece.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&"));
  return pieces.join(".*");
}
