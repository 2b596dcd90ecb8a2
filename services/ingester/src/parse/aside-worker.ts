import { parentPort, workerData } from 'node:worker_threads';
import type { AsideRequest } from './aside.ts';
import { parseChunk } from './documents.ts';

// What `parseAside` gave, and nobody else can.
// oxlint-disable-next-line typescript/no-unsafe-type-assertion
const { text, limits } = workerData as AsideRequest;
// A thread has no origin.
// oxlint-disable-next-line unicorn/require-post-message-target-origin
parentPort?.postMessage(parseChunk(text, limits));
