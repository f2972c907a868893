'use strict';
// keen-analysis, in node and in a browser: `perform` makes the calls that a test names, one after the other.
// In node stdin is {"config": ..., "port": ..., "calls": ...}; the last line of stdout is what came of each, as JSON.

// What stands for an address is made by the client, as its README shows: {"$url": ["queries", "saved", "x"]}.
function filled(client, value) {
  if (Array.isArray(value)) return value.map((item) => filled(client, item));
  if (value === null || typeof value !== 'object') return value;
  if (value.$url) return client.url(...value.$url);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, filled(client, item)]));
}

async function perform(client, calls) {
  const outcomes = [];
  for (const [method, ...given] of calls) {
    try {
      outcomes.push({ resolved: await client[method](...filled(client, given)) });
    } catch (error) {
      outcomes.push({ rejected: error.code || error.error_code || String(error) });
    }
  }
  return outcomes;
}

if (typeof module === 'object' && require.main === module) {
  const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
  // The client asks for no port: it takes the one that this process holds to be usual for HTTPS.
  require('https').globalAgent.defaultPort = given.port;
  const KeenAnalysis = require('keen-analysis');
  perform(new KeenAnalysis(given.config), given.calls).then((outcomes) => {
    // After a DELETE the client leaves its connection open: node would wait until the server closes it.
    process.stdout.write(`\n${JSON.stringify(outcomes)}\n`, () => process.exit(0));
  });
}
