<?php
// A legacy shop's page load: templates and hashes take the processor, the database is
// waited for. The work is counted and not timed, so that others who work slow it down.
function work(int $rounds, int $wait): string {
    $h = 'shop';
    for ($i = 0; $i < $rounds; $i++) {
        $h = md5($h . $i);
    }
    usleep($wait);
    return $h;
}

function customer(): string {
    if (!isset($_COOKIE['PHPSESSID'])) {
        setcookie('PHPSESSID', bin2hex(random_bytes(16)), ['path' => '/', 'httponly' => true]);
    }
    return $_COOKIE['customer'] ?? $_COOKIE['PHPSESSID'] ?? 'stranger';
}
