<?php
// Opens a TLS connection for each line that it reads, sends one PING, and answers by a line. usage: touch.php HOST PORT

[, $host, $port] = $argv;
while (fgets(STDIN) !== false) {
    $connection = stream_socket_client("tls://$host:$port");
    fwrite($connection, "PING\r\n");
    fread($connection, 100);
    fclose($connection);
    echo "touched\n";
}
