// Uploads a file with npm's tus-js-client: node tus_upload.cjs ENDPOINT TOKEN FILE IDENTIFIER; prints the upload's URL.
const fs = require("fs");
const tus = require("tus-js-client");

const [endpoint, token, path, identifier] = process.argv.slice(2);
const upload = new tus.Upload(fs.createReadStream(path), {
  endpoint,
  headers: { Authorization: `Bearer ${token}` },
  metadata: { identifier, filename: "tệp.bin" },
  uploadSize: fs.statSync(path).size,
  retryDelays: Array(200).fill(200),
  onShouldRetry: () => true,
  onError(error) {
    console.error(String(error));
    process.exit(1);
  },
  onSuccess() {
    console.log(upload.url);
  },
});
upload.start();
