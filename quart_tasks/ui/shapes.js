// The shapes that the server sends, for the type checker alone.

/** @typedef {"scheduled" | "queued" | "running" | "succeeded" | "failed" | "cancelled"} State */

/** @typedef {{current: number, total: number | null, message: string | null}} Progress */

/** @typedef {{type: string, message: string, traceback: string | null}} TaskError */

/**
 * A task, as REST and streams have it.
 *
 * @typedef {{
 *   id: string, name: string, executor: string, state: State, progress: Progress | null,
 *   args: any[] | null, kwargs: {[name: string]: any} | null,
 *   result: any, result_type: string | null, result_size: number | null,
 *   error: TaskError | null, omitted: string[], attempt: number, max_attempts: number,
 *   priority: number, key: string | null, parent_id: string | null, retry_of: string | null,
 *   owner: string | null, cancel_requested: boolean, worker: string | null,
 *   created_at: string, scheduled_for: string | null, started_at: string | null,
 *   finished_at: string | null, cursor: string,
 * }} TaskRecord
 */

/**
 * The whole of one task.
 *
 * @typedef {TaskRecord & {
 *   attempts: {started_at: string | null, finished_at: string | null, error: TaskError | null,
 *              worker: string | null}[],
 *   logs: {level: string, logger: string, message: string, attempt: number, time: string}[],
 * }} Detail
 */

/**
 * One thing that happened. `data` is as the type says.
 *
 * @typedef {{type: string, task_id: string | null, cursor: string, time: string, data: any}} Frame
 */

/**
 * One second of the server's life; times in seconds, [p50, p95, p99].
 *
 * @typedef {{
 *   time: string, submitted: number, succeeded: number, failed: number, cancelled: number,
 *   scheduled: number, queued: number, running: number,
 *   wait: [number, number, number] | null, run: [number, number, number] | null, lag: number,
 * }} Sample
 */

/**
 * @typedef {{
 *   states: {[state: string]: number}, names: {[name: string]: {[state: string]: number}},
 *   executors: {[name: string]: {slots: number, running: number, queued: number,
 *                                abandoned: number}},
 *   loop: {lag_p50: number | null, lag_p99: number | null},
 *   latency: {[name: string]: number | null}, streams: number, uptime: number, epoch: string,
 * }} Stats
 */

/** @typedef {{samples: Sample[], stats: Stats, health: string | null}} StatsData */

/**
 * @typedef {{name: string, executor: string, doc: string | null, parameters: any,
 *            options: {[name: string]: any}}} TaskType
 */

/** @typedef {{title: string, detail?: string, status: number, type: string,
 *             errors?: {pointer: string, detail: string}[]}} Problem */

export {};
