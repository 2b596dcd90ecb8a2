import {
  broken,
  ConnectionError,
  errorCodes,
  maxFrameBytes,
  maxWindow,
  overflow,
  settingIds,
} from './frames.ts';

const entryBytes = 6;
/** There are six settings; each of the window is work for all streams. */
const mostEntries = 32;

/**
 * The peer's window of a stream that a SETTINGS frame tells, if it does; it is checked (RFC 9113,
 * 6.5).
 */
export function initialWindowOf(payload: Buffer): number | undefined {
  if (payload.length % entryBytes !== 0) {
    throw new ConnectionError(errorCodes.frameSize, 'SETTINGS that are cut');
  }
  if (payload.length > mostEntries * entryBytes) {
    throw new ConnectionError(errorCodes.enhanceYourCalm, 'too many SETTINGS');
  }
  let window: number | undefined;
  for (let at = 0; at < payload.length; at += entryBytes) {
    const id = payload.readUInt16BE(at);
    const value = payload.readUInt32BE(at + 2);
    check(id, value);
    if (id === settingIds.initialWindowSize) window = value;
  }
  return window;
}

function check(id: number, value: number): void {
  if (id === settingIds.initialWindowSize && value > maxWindow) {
    throw overflow();
  }
  const wrong =
    (id === settingIds.enablePush && value > 1) ||
    (id === settingIds.maxFrameSize && (value < maxFrameBytes || value > 0xff_ffff));
  if (wrong) throw broken('a setting out of its range');
}
