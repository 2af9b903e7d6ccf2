// A worker of Weft in one file: it hosts the entrypoint `welcome`, which calls the tasks `look_up`
// and `write_letter`. README.md goes through it part by part.
import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';
import { createHash } from 'node:crypto';
import { setImmediate, setTimeout } from 'node:timers/promises';
import * as path from 'node:path';
import type { ConnectRequest } from './generated/weft/workflow/v1/ConnectRequest';
import type { ConnectResponse__Output } from './generated/weft/workflow/v1/ConnectResponse';
import type { JournalEntry__Output } from './generated/weft/workflow/v1/JournalEntry';
import type { Outcome, Outcome__Output } from './generated/weft/workflow/v1/Outcome';
import type { StartRun__Output } from './generated/weft/workflow/v1/StartRun';
import type { ProtoGrpcType } from './generated/worker';

// --- 1. Your own code: tasks, and an entrypoint that calls them ------------------------------------

type Task<I, O> = { name: string; attempts: number; run: (input: I, key: string, attempt: number) => Promise<O> };

const lookUp: Task<string, string> = {
  name: 'look_up',
  attempts: 3,
  run: async (name, _key, attempt) => {
    // As unreliable as the rest of the world: the service has it tried again.
    if (attempt < 2) throw new Error('the directory is busy');
    return `${name}@example.org`;
  },
};

const writeLetter: Task<{ name: string; to: string }, string> = {
  name: 'write_letter',
  attempts: 1,
  // `key` is the same whenever this call is executed: pass it on to whoever must not act twice.
  run: async ({ name, to }, key) => `To ${to}: welcome, ${name}! (letter ${key.split('/').pop()})`,
};

async function welcome(run: Execution, input: { name: string }): Promise<string> {
  const to = await run.call(lookUp, input.name);
  return run.call(writeLetter, { name: input.name, to });
}

const entrypoints: Record<string, (run: Execution, input: any) => Promise<unknown>> = { welcome };

// --- 2. An execution: calls that are recorded before code sees what they came to -------------------

const json = (value: unknown) => ({ json_text: JSON.stringify(value ?? null) });
const said = (error: any) => String(error?.message ?? error);
const parse = (payload?: { json_text?: string } | null) => JSON.parse(payload?.json_text || 'null');
const sorted = (value: any): any =>
  Array.isArray(value) ? value.map(sorted)
  : value && typeof value === 'object'
    ? Object.fromEntries(Object.keys(value).sort().map((name) => [name, sorted(value[name])]))
    : value;

class Mismatch extends Error {}
class TaskFailure extends Error {}

class Execution {
  private next = 0;
  private replayed = 0;
  private journal = new Map<string, JournalEntry__Output>();
  private order: { id: string; outcome: Outcome__Output }[] = [];
  private waiting = new Map<string, (outcome: Outcome__Output | null) => void>();
  private cancelled = false;

  constructor(private id: number, private start: StartRun__Output, private say: (message: ConnectRequest) => void) {
    for (const entry of start.journal) this.journal.set(entry.call!.id, entry);
    // What a recorded call called itself is not asked for again.
    const inner = (id: string) => id.split('/').some((_, n, parts) => n > 0 && this.journal.has(parts.slice(0, n).join('/')));
    this.order = start.journal.filter((entry) => !inner(entry.call!.id))
      .map((entry) => ({ id: entry.call!.id, outcome: entry.outcome! }));
  }

  /** Calls a task, or returns what is recorded of the call. */
  async call<I, O>(task: Task<I, O>, input: I): Promise<O> {
    const id = String(this.next++);
    const call = {
      id, kind: 'KIND_TASK' as const, task: task.name,
      input_hash: createHash('sha256').update(JSON.stringify(sorted(input) ?? null)).digest(),
    };
    const recorded = this.journal.get(id)?.call;
    if (recorded && (recorded.kind !== call.kind || recorded.task !== call.task))
      throw new Mismatch(`call ${id} is recorded as \`${recorded.task}\`, but is now \`${call.task}\``);
    if (recorded) this.replayed++;
    else if (this.cancelled) throw new TaskFailure('CANCELLED: the run was cancelled');
    let outcome = recorded ? await this.answer(id) : null;
    for (let attempt = 1; !outcome; attempt++) {
      this.tell({ emit: { call_id: id, task: task.name, task_started: { attempt, input: json(input) } } });
      const ended: Outcome = await task.run(input, `${this.start.run_id}/${id}`, attempt).then(json).then(
        (value) => ({ value }),
        (error) => ({ failure: { reason: 'TASK_FAILED', message: said(error), retryable: true } }),
      );
      const retry = { max_attempts: task.attempts, initial_delay: { nanos: 50e6 }, factor: 2, max_delay: { seconds: 5 } };
      this.tell({ record: { call, attempt, outcome: ended, retry } });
      outcome = await this.answer(id);
    }
    if (outcome.failure) throw new TaskFailure(`${outcome.failure.reason}: ${outcome.failure.message}`);
    return parse(outcome.value);
  }

  /** What the service says of a call; null to execute it once more. */
  private answer(id: string): Promise<Outcome__Output | null> {
    const answered = new Promise<Outcome__Output | null>((resolve) => this.waiting.set(id, resolve));
    void this.release();
    return answered;
  }

  /** Lets code see the next outcome, in the order of commits, once it rests after the one before. */
  private async release() {
    const first = this.order[0];
    const resolve = first && this.waiting.get(first.id);
    if (!resolve) return;
    this.order.shift();
    this.waiting.delete(first.id);
    resolve(first.outcome);
    await setImmediate().then(() => this.release());
  }

  /** The service says something about this execution. */
  hear(message: ConnectResponse__Output) {
    if (message.ack) {
      this.order.push({ id: message.ack.call_id, outcome: message.ack.outcome! });
      void this.release();
    } else if (message.retry) {
      const { call_id, delay } = message.retry;
      const resolve = this.waiting.get(call_id);
      this.waiting.delete(call_id);
      void setTimeout(Number(delay?.seconds ?? 0) * 1e3 + (delay?.nanos ?? 0) / 1e6).then(() => resolve?.(null));
    } else if (message.cancel) {
      this.cancelled = true;
    }
  }

  /** Executes the entrypoint to its end. */
  async execute() {
    const finish = await entrypoints[this.start.entrypoint]!(this, parse(this.start.input)).then(json).then(
      (value) => ({ returned: { value } }),
      (error) => error instanceof Mismatch
        ? { mismatch: { reason: 'NON_DETERMINISTIC', message: error.message } }
        : { failed: { failure: { reason: 'ENTRYPOINT_FAILED', message: said(error) } } },
    );
    this.tell({ finish: { ...finish, replayed_count: this.replayed } });
  }

  private tell(message: ConnectRequest) {
    this.say({ ...message, execution_id: this.id });
  }
}

// --- 3. A stream: Hello, pings, and messages for executions; a new one when it is lost -------------

const options = { keepCase: true, longs: Number, enums: String, defaults: true, oneofs: true };
const proto = loader.loadSync('weft/workflow/v1/worker.proto', { ...options, includeDirs: [path.join(__dirname, '../../../proto')] });
const { WorkerService } = (grpc.loadPackageDefinition(proto) as unknown as ProtoGrpcType).weft.workflow.v1;
const client = new WorkerService(process.argv[2] ?? '127.0.0.1:50052', grpc.credentials.createInsecure(), {
  'grpc.max_receive_message_length': 40 * 1024 * 1024, 'grpc.keepalive_time_ms': 5000,
});
const fatal = [grpc.status.INVALID_ARGUMENT, grpc.status.PERMISSION_DENIED, grpc.status.UNAUTHENTICATED, grpc.status.UNIMPLEMENTED];

function connect(): Promise<grpc.StatusObject> {
  const stream = client.Connect();
  const executions = new Map<number, Execution>();
  const journals = new Map<number, StartRun__Output>();
  const say = (message: ConnectRequest) => void stream.write(message);
  const begin = (id: number, start: StartRun__Output) => {
    if (start.journal.length < start.journal_length) return void journals.set(id, start);
    journals.delete(id);
    // An execution that is over is not heard any more.
    const execution = new Execution(id, start, (message) => void (executions.get(id) === execution && say(message)));
    executions.set(id, execution);
    void execution.execute();
  };
  stream.on('data', (message: ConnectResponse__Output) => {
    const id = Number(message.execution_id);
    if (message.welcome) console.log('connected');
    else if (message.ping) say({ heartbeat: { execution_ids: [...executions.keys(), ...journals.keys()] } });
    else if (message.start_run) begin(id, message.start_run);
    else if (message.journal_chunk && journals.has(id)) {
      journals.get(id)!.journal.push(...message.journal_chunk.entries);
      begin(id, journals.get(id)!);
    } else if (message.fenced) executions.delete(id);
    else executions.get(id)?.hear(message);
  });
  const hosted = Object.keys(entrypoints).map((name) => ({ name, version: '1' }));
  say({ hello: { protocol: 1, worker_name: `node ${process.pid}`, entrypoints: hosted, max_runs: 10, client: 'example/1' } });
  process.once('SIGTERM', () => stream.end());
  return new Promise((resolve) => stream.on('error', () => {}).on('status', resolve));
}

async function main() {
  for (let tries = 1; ; tries++) {
    const since = Date.now();
    const status = await connect();
    if (status.code === grpc.status.OK) return;
    if (fatal.includes(status.code)) throw new Error(status.details);
    if (Date.now() - since > 5000) tries = 1;
    await setTimeout(Math.random() * Math.min(5000, 250 * 2 ** tries));
  }
}

void main().then(() => client.close());
