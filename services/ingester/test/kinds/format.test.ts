/** Format strings that Envoy would refuse, with all that they stand in. */
import { describe, expect, it } from 'vitest';
import { meshConfigObject, meshNames } from '../../src/kinds/core/mesh-config.ts';
import { formatProblem, headerValueProblem } from '../../src/kinds/common/format.ts';
import { Objects } from './harness.ts';

describe('a format string', () => {
  it.each([
    '',
    'text',
    '100%%',
    '%PROTOCOL%',
    '%%PROTOCOL%%',
    '%START_TIME%%REQ(:METHOD)%',
    '%START_TIME(%s.%3f)% %START_TIME(%s)x)%',
    '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH):10%',
    '%DYNAMIC_METADATA(["a", "b)"])%',
    '%CEL(size(request.path))%',
    'a\nb %RESPONSE_FLAGS%\n',
    '%GRPC_STATUS% %GRPC_STATUS(NUMBER)% %PATH% %PATH(NQ:ORIG):9%',
    '%COMMON_DURATION(DS_RX_BEG:DS_TX_END:us)% %METADATA(ROUTE:a:b)% %FILTER_STATE(a:FIELD:b)%',
  ])('may be %j', (format) => {
    expect(formatProblem(format)).toBeUndefined();
  });

  const percent = 'has a "%" that is neither doubled nor the start of a variable';

  it.each([
    ['a%', percent],
    ['%PROTOCOL', percent],
    ['%protocol%', percent],
    ['% PROTOCOL %', percent],
    ['%PROTOCOL:x%', percent],
    ['%REQ(A)%%', percent],
    ['%RESP(X)?%', percent],
    ['%STARTTIME%', 'has %STARTTIME%, which is no variable of Envoy 1.36, the oldest supported'],
    ['%PROTOCOL(a)%', 'has %PROTOCOL%, which takes nothing in parentheses'],
    ['%REQ%', 'has %REQ%, which needs something in parentheses'],
    ['%CEL()%', 'has %CEL%, which needs something in parentheses'],
    ['%START_TIME:3%', 'has %START_TIME%, which takes no length'],
    ['%GRPC_STATUS(TEXT)%', 'has %GRPC_STATUS%, which does not take (TEXT)'],
    ['%METADATA(PLACE:a)%', 'has %METADATA%, which does not take (PLACE:a)'],
    ['%METADATA%', 'has %METADATA%, which needs something in parentheses'],
    ['%SPAN_ID%', 'has %SPAN_ID%, which is no variable of Envoy 1.36, the oldest supported'],
    ['%REQ(a b)%', 'has %REQ%, which must name a header, or two as (A?B)'],
    ['%REQ(a?b?c)%', 'has %REQ%, which must name a header, or two as (A?B)'],
  ])('must not be %j', (format, problem) => {
    expect(formatProblem(format)).toBe(problem);
  });

  it('may have what is of one request where it is a header, not in an access log', () => {
    const format = '%PER_REQUEST_STATE(key)%';
    expect(headerValueProblem(format)).toBeUndefined();
    expect(formatProblem(format)).toBeDefined();
  });
});

describe('the format of access logs', () => {
  const told = (mesh: object): readonly string[] => {
    const objects = new Objects();
    objects.put(meshConfigObject(meshNames.file, mesh));
    return objects.problems().map((line) => line.replace('MeshConfig file: ', ''));
  };

  it('is refused with a variable that Envoy does not know, as text and in JSON', () => {
    const problem =
      'error: accessLogFormat: has %BAD%, which is no variable of Envoy 1.36, the oldest supported: "%BAD%"';
    expect(told({ accessLogFormat: '%BAD%' })).toEqual([problem]);
    const json = { accessLogEncoding: 'JSON', accessLogFormat: '{"a":[{"b":"%BAD%"}],"c":1}' };
    expect(told(json)).toEqual([problem]);
    expect(told({ accessLogFormat: '[%START_TIME%] %REQ(:METHOD)%\n' })).toEqual([]);
  });

  it('is the default where JSON is wanted and it is none', () => {
    expect(told({ accessLogEncoding: 'JSON', accessLogFormat: '%PROTOCOL%' })).toEqual([
      'warning: accessLogFormat: is no JSON object: the default is used: "%PROTOCOL%"',
    ]);
    expect(told({ accessLogEncoding: 'JSON' })).toEqual([]);
  });
});
